"""Which item a rater sees next: those that tell most, some at random, some whose answer is known.

Every draw follows from rater, name and how many items were rated: whoever reloads the page sees the same item, unless
others have rated meanwhile.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tunesmith.review.item import TIE, Rating, drawn
from tunesmith.review.rubric import Rubric

APART = 2
"""Ratings of the same scale disagree from this difference on."""

BEGUN = 0.5
"""What it weighs that an item has a rating already: agreement is measured on items that several have rated."""


@dataclass(frozen=True)
class Entry:
    """An item, without its texts."""

    id: str
    priority: float
    gold: bool
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Progress:
    """How far a rater is, or all of them together: `total` are those done and those still to come."""

    done: int
    total: int


@dataclass(frozen=True)
class Queue:
    """The items of a name and what was said of them, as they are now."""

    name: str
    entries: Sequence[Entry]
    ratings: Mapping[str, Sequence[Rating]]
    rubric: Rubric
    closeness: Mapping[tuple[str, ...], float] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, entries: Sequence[Entry], ratings: Iterable[Rating], rubric: Rubric) -> Queue:
        """Sort ratings to their items, and see how close each two sources are."""
        by: dict[str, list[Rating]] = defaultdict(list)
        for one in ratings:
            by[one.item].append(one)
        return cls(name, entries, by, rubric, _closeness(entries, by))

    def next(self, rater: str) -> tuple[str | None, Progress]:
        """The id of the item to show, None when nothing is left to ask this rater, and how far the rater is."""
        seen = {item for item, said in self.ratings.items() if any(one.rater == rater for one in said)}
        unseen = [one for one in self.entries if one.id not in seen]
        gold = [one for one in unseen if one.gold]
        waiting = [one for one in unseen if not one.gold and self._missing(one) > 0]
        position = len(seen)
        return self._choose(rater, position, waiting, gold), self._progress(rater, position, len(waiting), len(gold))

    def judged(self, sources: Collection[str]) -> Progress:
        """How many pairs of two sources have every rating that the rubric wants, and how many there are."""
        pairs = [one for one in self.entries if not one.gold and set(one.sources) == set(sources)]
        return Progress(sum(self._missing(one) <= 0 for one in pairs), len(pairs))

    def _choose(self, rater: str, position: int, waiting: list[Entry], gold: list[Entry]) -> str | None:
        if not waiting:
            return None
        if gold and self._planted(rater, position):
            return min(gold, key=lambda one: drawn("gold", rater, one.id)).id
        if drawn("random", self.name, rater, str(position)) < self.rubric.random_share:
            return min(waiting, key=lambda one: drawn("which", rater, str(position), one.id)).id
        return max(waiting, key=lambda one: (self._weight(one), drawn("order", rater, one.id))).id

    def _progress(self, rater: str, position: int, waiting: int, gold: int) -> Progress:
        """Items with a known answer count as any other, where they will come."""
        end = position
        while waiting:
            if gold and self._planted(rater, end):
                gold -= 1
            else:
                waiting -= 1
            end += 1
        return Progress(position, end)

    def _missing(self, entry: Entry) -> int:
        said = [one for one in self.ratings.get(entry.id, ()) if one.says]
        return self.rubric.raters + disagree(said) - len(said)

    def _planted(self, rater: str, position: int) -> bool:
        """One of every so many, at a place that cannot be foreseen."""
        if not self.rubric.gold_share:
            return False
        block = max(2, round(1 / self.rubric.gold_share))
        return position % block == int(drawn("plant", self.name, rater, str(position // block)) * block)

    def _weight(self, entry: Entry) -> float:
        """What there is to learn: as a model sees it, from how close the sources are, from what raters disagree on."""
        said = [one for one in self.ratings.get(entry.id, ()) if one.says]
        return (
            entry.priority + self.closeness.get(tuple(sorted(entry.sources)), 1.0) + disagree(said) + BEGUN * bool(said)
        )


def disagree(ratings: Sequence[Rating]) -> bool:
    """Whether raters chose differently, or are two or more apart on a scale."""
    if len(ratings) < 2:
        return False
    if len({one.choice for one in ratings}) > 1:
        return True
    values: dict[tuple[str, str], list[int]] = defaultdict(list)
    for one in ratings:
        for source, scales in one.scales.items():
            for scale, value in scales.items():
                values[source, scale].append(value)
    return any(max(said) - min(said) >= APART for said in values.values())


def _closeness(entries: Sequence[Entry], ratings: Mapping[str, Sequence[Rating]]) -> dict[tuple[str, ...], float]:
    """Of each two sources, 1 where either may be better and 0 where one always is: from the chance that the first wins,
    which for two sources is what a Bradley-Terry model says, with one win more for each."""
    wins: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for entry in entries:
        if len(entry.sources) == 2 and not entry.gold:
            wins[tuple(sorted(entry.sources))].update(one.choice for one in ratings.get(entry.id, ()) if one.choice)
    found = {}
    for sources, came in wins.items():
        first, second = (came[source] + came[TIE] / 2 + 1 for source in sources)
        found[sources] = 1 - abs(first - second) / (first + second)
    return found
