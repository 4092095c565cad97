"""What a cluster has room for, from what Ray says of its nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Resources = Mapping[str, float]


def workers_that_fit(resources: Iterable[Resources], need: Resources) -> int:
    """How many workers of `need` fit on nodes with these resources, each on one node."""
    return sum(int(min(node.get(kind, 0.0) // amount for kind, amount in need.items())) for node in resources)


def share_of_node(nodes: Iterable[Mapping[str, Any]], need: Resources) -> float:
    """The part of a node that one worker takes, of the smallest that it fits on, as nodes are `ray.nodes()` gives them.

    The scarcest resource decides: a worker with one of four GPUs takes a quarter. 1 where no node is known to fit.
    """
    have = [node.get("Resources", {}) for node in nodes if node.get("Alive")]
    fit = [one for one in have if workers_that_fit([one], need)]
    return max((max(amount / one[kind] for kind, amount in need.items()) for one in fit), default=1.0)


def what_is_missing(nodes: Iterable[Mapping[str, Any]], need: Resources, fewest: int) -> str | None:
    """Say why `fewest` workers can never be placed on these nodes, as `ray.nodes()` gives them; None when they can."""
    alive = [node for node in nodes if node.get("Alive")]
    have = [node.get("Resources", {}) for node in alive]
    fit = workers_that_fit(have, need)
    if fit >= fewest:
        return None
    each = " and ".join(f"{amount:g} {_plural(kind, amount)}" for kind, amount in need.items())
    total = {kind: sum(node.get(kind, 0.0) for node in have) for kind in need}
    has = " and ".join(f"{amount:g} {_plural(kind, amount)}" for kind, amount in total.items())
    return (
        f"{fewest} {_plural('worker', fewest)} of {each} cannot be placed, the Ray cluster has {has} "
        f"on {len(alive)} {_plural('node', len(alive))}: room for {fit}"
    )


def _plural(word: str, amount: float) -> str:
    return word if amount == 1 else f"{word}s"
