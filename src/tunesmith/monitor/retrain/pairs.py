"""Pairs for people: the champion's and the challenger's answers to held-out rows, where they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunesmith.data.example import Example
from tunesmith.monitor.retrain.contest import Answers, Rivals
from tunesmith.review.item import Answer, NewItem, drawn

if TYPE_CHECKING:
    from tunesmith.review.item import Message

WAITED_FOR = 1.0
"""Priority of a pair: a retrain waits for it."""

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Pairs:
    """What is put before people, out of `rows` answered rows of which the two differ on `differing`."""

    items: tuple[NewItem, ...]
    differing: int
    rows: int


def pairs_of(
    name: str, answers: Answers, examples: tuple[Sequence[Example], Sequence[Example]], sources: tuple[str, str],
    most: int,
) -> Pairs:  # fmt: skip
    """At most so many, always the same for the same answers: new held-out rows first, and of too many a draw.

    `examples` are the new rows and the old ones with all their turns, `sources` those of champion and challenger. Left
    out are rows with tools, and with turns that are no text: a page cannot show them, nor a rater correct them.
    """
    both = tuple(zip((answers.new, answers.old), examples, strict=True))
    chosen: dict[str, NewItem] = {}
    for rivals, rows in both:
        found = [
            NewItem(name, "pair", turns, [*map(Answer, sources, texts)], WAITED_FOR)
            for turns, texts in _shown(rivals, rows)
        ]
        fresh = {one.id: one for one in found if one.id not in chosen}
        order = sorted(fresh, key=lambda one: drawn("people", one))[: most - len(chosen)]
        chosen |= {one: fresh[one] for one in order}
    differing = sum(len(list(_differing(rivals))) for rivals, _ in both)
    return Pairs(tuple(chosen.values()), differing, sum(len(rivals.rows) for rivals, _ in both))


def _shown(rivals: Rivals, rows: Sequence[Example]) -> Iterator[tuple[list[Message], tuple[str, str]]]:
    """Turns and the two answers of each row on which they differ and that can be shown."""
    by_origin = {str(row.origin): row for row in rows}
    for origin, texts in _differing(rivals):
        if (row := by_origin.get(origin)) is not None and (turns := _turns(row)) is not None:
            yield turns, texts


def _differing(rivals: Rivals) -> Iterator[tuple[str, tuple[str, str]]]:
    if rivals.champion is None or rivals.challenger is None:
        return
    for row, before, after in zip(rivals.rows, rivals.champion.answers, rivals.challenger.answers, strict=True):
        if before.text.strip() != after.text.strip():
            yield row.origin, (before.text, after.text)


def _turns(row: Example) -> list[Message] | None:
    """The question as turns of text; None for one that is made of anything else."""
    turns = row.prompt
    plain = not row.tools and all(
        one["role"] in ROLES and isinstance(one["content"], str) and not one.get("tool_calls") for one in turns
    )
    if not plain or not turns or turns[-1]["role"] != "user":
        return None
    return [{"role": one["role"], "content": one["content"]} for one in turns]
