"""Whether a version's loss has risen since the day of its release: like with like, with an interval over rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tunesmith.monitor.golden.row import GoldenRow, RowKind

LEAST = 20
"""Rows on either side, below which nothing is said."""

RESAMPLES = 4000

Losses = Mapping[str, tuple[float, int]]
"""Row -> nats of its answer, and the answer's tokens."""

ALIKE: dict[str, tuple[RowKind, ...]] = {"labelled rows": ("test", "labelled"), "corrections": ("correction",)}
"""What may be compared with what. Corrections are of answers that were found wrong: their loss is higher than that of
rows that nobody chose from the first day on, so they are compared with one another."""


@dataclass(frozen=True)
class Change:
    """Loss, in nats per token, on `rows` of before and of now, the difference and its 95 % interval over rows.

    `worse` says that it is at least the margin, and more than chance. Losses are None where rows are too few.
    """

    what: str
    rows: tuple[int, int]
    before: float | None
    after: float | None
    difference: float | None
    low: float | None
    high: float | None
    worse: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def in_words(self) -> str:
        """One clause for a finding's reason."""
        if self.difference is None:
            return f"{self.what}: {self.rows[0]} and {self.rows[1]} rows, at least {LEAST} of each are needed"
        way = f"{self.before:.3f} to {self.after:.3f} nats per token ({self.low:+.3f} to {self.high:+.3f})"
        return f"{self.what}: {way}, {self.rows[1]} rows"


def changes(rows: Sequence[GoldenRow], now: Losses, release: Losses, margin: float, seed: int = 0) -> list[Change]:
    """The same rows again, row by row; then rows that came later against those of their like at release.

    `now` has the losses of `rows`, which are in order of time; `release` those of the first evaluation. Rows that came
    later are compared with at least 20 of their like: where release had fewer, the first that came stand in.
    """
    both = [row.id for row in rows if row.id in release]
    generator = np.random.default_rng(seed)
    found = [_again(both, now, release, margin, generator)]
    for what, kinds in ALIKE.items():
        like = [row.id for row in rows if row.kind in kinds]
        at_release = [one for one in like if one in release]
        missing = max(0, LEAST - len(at_release))
        later = [one for one in like if one not in release]
        before = [release[one] for one in at_release] + [now[one] for one in later[:missing]]
        found.append(_later(f"new {what}", before, [now[one] for one in later[missing:]], margin, generator))
    return found


def loss(losses: Losses) -> float:
    """Nats per token over all rows."""
    return sum(nats for nats, _ in losses.values()) / max(1, sum(tokens for _, tokens in losses.values()))


def _again(ids: Sequence[str], now: Losses, release: Losses, margin: float, generator: np.random.Generator) -> Change:
    if len(ids) < LEAST:
        return _unknown("rows of the day of release", len(ids), len(ids))
    first, again = _array([release[one] for one in ids]), _array([now[one] for one in ids])
    drawn = generator.integers(0, len(ids), (RESAMPLES, len(ids)))
    spread = _ratio(again[drawn]) - _ratio(first[drawn])
    return _change("rows of the day of release", first, again, spread, margin)


def _later(
    what: str, before: Sequence[tuple[float, int]], after: Sequence[tuple[float, int]], margin: float,
    generator: np.random.Generator,
) -> Change:  # fmt: skip
    if min(len(before), len(after)) < LEAST:
        return _unknown(what, len(before), len(after))
    first, then = _array(before), _array(after)
    resampled = [_ratio(one[generator.integers(0, len(one), (RESAMPLES, len(one)))]) for one in (first, then)]
    return _change(what, first, then, resampled[1] - resampled[0], margin)


def _change(what: str, first: np.ndarray, then: np.ndarray, spread: np.ndarray, margin: float) -> Change:
    before, after = float(_ratio(first)), float(_ratio(then))
    low, high = (float(np.quantile(spread, end)) for end in (0.025, 0.975))
    worse = not after - before < margin and not low <= 0  # where one is no number, it is not said to be well
    return Change(what, (len(first), len(then)), before, after, after - before, low, high, worse)


def _unknown(what: str, before: int, after: int) -> Change:
    return Change(what, (before, after), None, None, None, None, None, False)


def _array(losses: Sequence[tuple[float, int]]) -> np.ndarray:
    found: np.ndarray = np.asarray(losses, dtype=np.float64)
    return found


def _ratio(losses: np.ndarray) -> Any:
    """Nats by tokens of (..., rows, 2)."""
    sums = losses.sum(axis=-2)
    return sums[..., 0] / sums[..., 1]
