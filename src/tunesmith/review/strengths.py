"""Bradley-Terry strengths: how good each source is, from who was preferred to whom (Bradley and Terry 1952)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tunesmith.review.item import TIE, Item, Rating

Floats: TypeAlias = "NDArray[np.float64]"

HALF = 0.5
"""A tie is half a win for each; and each two sources that were compared get half a win of each over the other more, so
that one that always wins has a finite strength (Haldane 1956, Anscombe 1956)."""

NORMAL_95 = 1.959964


@dataclass(frozen=True)
class Strength:
    """One source. The chance that it is preferred to another is 1 / (1 + exp(other's strength - its own)).

    `low` to `high` is the 95 % interval of the strength, whose mean over sources is 0. None with one source, or where
    sources were never compared with each other, directly or by way of others.
    """

    source: str
    strength: float
    low: float
    high: float
    comparisons: int


def strengths(items: Sequence[Item], ratings: Sequence[Rating]) -> list[Strength]:
    """Strongest first; none where fewer than two sources were compared, or those compared fall into separate groups."""
    import choix

    pairs = {one.id: one for one in items if one.kind == "pair" and one.gold is None}
    said = [one for one in ratings if one.item in pairs and one.choice in (*pairs[one.item].sources, TIE)]
    sources = sorted({source for one in said for source in pairs[one.item].sources})
    if len(sources) < 2:
        return []
    place = {source: index for index, source in enumerate(sources)}
    by_item: dict[str, Floats] = {}
    for one in said:
        matrix = by_item.setdefault(one.item, np.zeros((len(sources), len(sources))))
        first, second = (place[source] for source in pairs[one.item].sources)
        share = HALF if one.choice == TIE else float(one.choice == sources[first])
        matrix[first, second] += share
        matrix[second, first] += 1 - share
    wins = np.stack(list(by_item.values()))
    total = wins.sum(axis=0)
    met = (total + total.T) > 0
    if not _connected(met):
        return []
    found = choix.ilsr_pairwise_dense(total + HALF * met, max_iter=10_000)
    found = found - found.mean()
    errors = _errors(wins, total, met, found)
    counted = (total + total.T).sum(axis=1)
    listed = [
        Strength(source, float(found[index]), float(found[index] - NORMAL_95 * errors[index]),
                 float(found[index] + NORMAL_95 * errors[index]), round(counted[index]))
        for source, index in place.items()
    ]  # fmt: skip
    return sorted(listed, key=lambda one: (-one.strength, one.source))


def _errors(wins: Floats, total: Floats, met: NDArray[np.bool_], found: Floats) -> Floats:
    """Standard errors: by Fisher's information, or by what items say if that is more, since ratings of one item are not
    independent (the sandwich with items as clusters; Liang and Zeger 1986)."""
    chance = 1 / (1 + np.exp(found[None, :] - found[:, None]))
    weights = (total + total.T + 2 * HALF * met) * chance * chance.T
    information = np.diag(weights.sum(axis=1)) - weights
    inverse = np.linalg.pinv(information)
    games = wins + wins.transpose(0, 2, 1)
    scores = wins.sum(axis=2) - (games * chance).sum(axis=2)
    sandwich = inverse @ (scores.T @ scores) @ inverse
    return np.asarray(np.sqrt(np.maximum(np.diag(inverse), np.diag(sandwich))))


def _connected(met: NDArray[np.bool_]) -> bool:
    reached, waiting = {0}, [0]
    while waiting:
        for other in np.flatnonzero(met[waiting.pop()]):
            if int(other) not in reached:
                reached.add(int(other))
                waiting.append(int(other))
    return len(reached) == len(met)
