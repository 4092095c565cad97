"""What an experiment shows and what to do: promote, keep, roll back, or go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import inf, isfinite
from typing import Any, Literal

from tunesmith.experiment.mismatch import ALPHA as MISMATCH_ALPHA
from tunesmith.experiment.sample import Pair, difference
from tunesmith.experiment.sequence import Interval, interval, users_needed

Verdict = Literal["promote", "keep", "roll back", "inconclusive", "blocked"]


@dataclass(frozen=True)
class Metric:
    """A number a user has, and which way is better.

    `matters` is the smallest difference worth a change, in the metric's own units: an interval inside of it on both
    sides says that the variants are as good as each other. `decides` marks those that a promotion rests on.
    """

    name: str
    better: Literal["higher", "lower"] = "higher"
    matters: float = 0.0
    decides: bool = True


@dataclass(frozen=True)
class Reading:
    """A metric as it stands: users and means of variant and control, and the interval of the difference.

    Every interval holds with the others at once: `alpha` is shared among the metrics.
    """

    metric: str
    users: tuple[int, int]
    means: tuple[float, float]
    estimate: float
    low: float
    high: float
    p: float
    users_needed: int | None

    def to_json(self) -> dict[str, Any]:
        """Plain values; an end that is not known yet is null."""
        return {key: None if isinstance(value, float) and not isfinite(value) else value
                for key, value in asdict(self).items()}  # fmt: skip


@dataclass(frozen=True)
class Decision:
    """What to do with a variant, why, and what it rests on."""

    verdict: Verdict
    reason: str
    readings: tuple[Reading, ...] = field(default=())
    mismatch_p: float = 1.0
    users_needed: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "readings": [reading.to_json() for reading in self.readings]}


def decide(
    metrics: Sequence[Metric],
    samples: Mapping[str, Sequence[Pair]],
    alpha: float = 0.05,
    planned_users: int = 10_000,
    minimum: int = 100,
    mismatch_p: float = 1.0,
    broken: Sequence[str] = (),
) -> Decision:
    """Read every metric and decide.

    `samples` holds for each metric the strata of variant and control. `minimum` users must have come to each before
    anything is said. `mismatch_p` below 0.001 blocks the reading; a guardrail that is `broken` (its sentences) rolls
    back whatever the metrics say. With several metrics each gets its part of `alpha` (Bonferroni), so all intervals
    hold at once.
    """
    if broken:
        return Decision("roll back", broken[0], mismatch_p=mismatch_p)
    if mismatch_p < MISMATCH_ALPHA:
        return Decision(
            "blocked",
            f"users came in other shares than the weights say (p = {mismatch_p:.1g}): something loses those of one "
            "variant, and no comparison is honest",
            mismatch_p=mismatch_p,
        )
    share = alpha / max(1, len(metrics))
    readings = tuple(_read(metric, samples.get(metric.name, ()), share, planned_users, minimum) for metric in metrics)
    verdict, reason, needed = _verdict(metrics, readings)
    return Decision(verdict, reason, readings, mismatch_p, needed)


def _read(metric: Metric, strata: Sequence[Pair], alpha: float, planned_users: int, minimum: int) -> Reading:
    found = difference(strata)
    seen: Interval = interval(found, alpha, planned_users, minimum)
    variant, control = (_mean(strata, place) for place in (0, 1))
    effect = max(abs(found.estimate), metric.matters)
    needed = users_needed(found, effect, alpha, planned_users)
    return Reading(
        metric.name, found.users, (variant, control), found.estimate, seen.low, seen.high, seen.p,
        None if needed is None else max(needed, 2 * minimum),
    )  # fmt: skip


def _mean(strata: Sequence[Pair], place: int) -> float:
    users = sum(pair[place].users for pair in strata)
    return sum(pair[place].users * pair[place].mean for pair in strata) / users if users else 0.0


def _verdict(metrics: Sequence[Metric], readings: Sequence[Reading]) -> tuple[Verdict, str, int | None]:
    deciding = [(metric, reading) for metric, reading in zip(metrics, readings, strict=True) if metric.decides]
    for metric, reading in zip(metrics, readings, strict=True):
        if _towards_better(metric, reading)[1] < -metric.matters:
            return "roll back", f"{_say(metric, reading)}: worse", None
    better = [(m, r) for m, r in deciding if _towards_better(m, r)[0] > 0]
    if deciding and len(better) == len(deciding):
        return "promote", "; ".join(f"{_say(m, r)}: better" for m, r in better), None
    alike = [(m, r) for m, r in deciding if m.matters > 0 and -m.matters < r.low and r.high < m.matters]
    if deciding and len(alike) == len(deciding):
        said = "; ".join(f"{_say(m, r)}: within {m.matters:g}, no difference that matters" for m, r in alike)
        return "keep", said, None
    waiting = [reading for metric, reading in deciding if (metric, reading) not in better]
    wanted = [reading.users_needed for reading in waiting]
    have = min((sum(reading.users) for reading in waiting), default=0)
    if not wanted or any(number is None for number in wanted):
        return "inconclusive", "too few users to say how many are needed", None
    needed = max(number for number in wanted if number is not None)
    more = max(0, needed - have)
    return "inconclusive", f"{have:,} users so far; about {more:,} more if the difference stays as it is", needed


def _towards_better(metric: Metric, reading: Reading) -> tuple[float, float]:
    """The interval with better as up."""
    if metric.better == "higher":
        return reading.low, reading.high
    return -reading.high, -reading.low


def _say(metric: Metric, reading: Reading) -> str:
    if reading.low == -inf:
        return f"{metric.name} not known yet"
    return f"{metric.name} {reading.estimate:+.4g} [{reading.low:+.4g}, {reading.high:+.4g}]"
