"""When a stream of numbers has got worse: ADWIN and Page-Hinkley, from the start, the same every time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from tunesmith.recipe.monitor import QualitySection

FIRST = 100
"""Values that a stream is measured by: its spread, and the ranks of metrics without a scale of their own. Before there
are so many it is not watched."""

LEAST_SPREAD = 0.2
"""For Page-Hinkley: of the first 100 of a stream that is nearly always right, too few are wrong to know its spread."""

SLACK = 0.1
"""Of Page-Hinkley: what the mean may sink, in standard deviations, without anything being cumulated."""

SAME = 100
"""Steps within which a second alarm of a detector is about the same change as the first."""

SINGLY = 4000
"""So many values are looked at one by one; then two together, and twice as many whenever the stream has doubled. False
alarms come with each step: so their number grows with the logarithm of the values, and a busy endpoint has few."""

LEAST_CHANGE = 0.02
"""On the scale from 0 to 1: among very many values a smaller change is no chance either, and still a trifle."""


@dataclass(frozen=True)
class Alarm:
    """At value `index` it was seen that the stream, which had been the same since value `begin`, got worse at about
    value `since`."""

    index: int
    since: int
    begin: int


def on_scale(values: Sequence[float], bounded: bool) -> np.ndarray:
    """(values,) between 0 and 1: as they are, or as the share of the first 100 that lie beneath each, ties by half."""
    given = np.asarray(values, dtype=np.float64)
    if bounded:
        clipped: np.ndarray = given.clip(0.0, 1.0)
        return clipped
    first = np.sort(given[:FIRST])
    beneath = np.searchsorted(first, given, "left") + np.searchsorted(first, given, "right")
    ranks: np.ndarray = beneath / (2 * len(first))
    return ranks


def adwin(good: np.ndarray, settings: QualitySection) -> list[Alarm]:
    """Where a window that grows as long as its mean does not change (Bifet and Gavalda 2007) was cut and the mean sank.

    `good` is (values,) between 0 and 1, more is better.
    """
    from river.drift import ADWIN

    ends, means = _steps(good)
    detector, found = ADWIN(delta=settings.delta), []
    for step, value in enumerate(means.tolist()):
        before = detector.estimation
        detector.update(value)
        if detector.drift_detected and detector.estimation < before:
            found.append(step)
    return _alarms(good, ends, found)


def page_hinkley(good: np.ndarray, settings: QualitySection) -> list[Alarm]:
    """Where what the values fell short of their mean by has cumulated to the threshold (Page 1954), in standard
    deviations: of the first 100, and after an alarm of the values that raised it where they vary more. `good` as for
    ADWIN."""
    from river.drift import PageHinkley

    def begin() -> PageHinkley:
        threshold = settings.page_hinkley_threshold
        return PageHinkley(min_instances=30, delta=SLACK, threshold=threshold, alpha=1.0, mode="down")

    ends, means = _steps(good)
    sums = np.concatenate([[0.0], np.cumsum(good)])
    spread = max(float(np.std(good[:FIRST])), LEAST_SPREAD)
    detector, found, start, total, steps = begin(), [], 0, 0.0, 0
    usual = level = 0.0
    size = 1
    for step, (end, value) in enumerate(zip(ends.tolist(), means.tolist(), strict=True)):
        before = int(ends[step - 1]) if step else 0
        if end - before != size:
            # A step of more values varies less: it is measured from what was usual until then, and the level is kept.
            size, usual, level = end - before, (sums[before] - sums[start]) / (before - start), total / max(1, steps)
        weighed = float((value - usual) / spread * sqrt(size) + level)
        total, steps = total + weighed, steps + 1
        detector.update(weighed)
        if detector.drift_detected:
            found.append(step)
            start = _cut(good, start, end - 1, size)
            spread = max(spread, float(np.std(good[start:end])))
            detector, total, steps = begin(), 0.0, 0
    return _alarms(good, ends, found)


Detector = Callable[[np.ndarray, QualitySection], list[Alarm]]
DETECTORS: dict[str, Detector] = {"adwin": adwin, "page_hinkley": page_hinkley}


def _steps(good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(steps,) behind which value each step ends, and (steps,) the mean of its values; an unfinished one waits."""
    ends = [np.arange(1, min(len(good), SINGLY) + 1)]
    begin, size = SINGLY, 2
    while begin < len(good):
        ends.append(np.arange(begin + size, min(len(good), 2 * begin) + 1, size))
        begin, size = 2 * begin, 2 * size
    every = np.concatenate(ends)
    sums = np.concatenate([[0.0], np.cumsum(good)])
    begins = np.concatenate([[0], every[:-1]])
    return every, (sums[every] - sums[begins]) / (every - begins)


def _alarms(good: np.ndarray, ends: np.ndarray, steps: Sequence[int]) -> list[Alarm]:
    """One alarm for each change: where the stream between two alarms is best divided in two, and falls by enough."""
    found: list[Alarm] = []
    last: int | None = None
    begin = 0
    for step in steps:
        index = int(ends[step]) - 1
        if last is not None and step - last < SAME:
            last = step
            continue
        cut = _cut(good, begin, index, int(ends[step] - ends[step - 1]) if step else 1)
        if cut > begin and float(good[begin:cut].mean() - good[cut : index + 1].mean()) >= LEAST_CHANGE:
            found.append(Alarm(index, cut, begin))
            last, begin = step, cut
    return found


def _cut(good: np.ndarray, begin: int, index: int, size: int) -> int:
    """Where values from `begin` to `index` began to be worse: what they exceed their mean by, with the slack of steps
    of this size, has summed up to the most there."""
    segment = good[begin : index + 1]
    if len(segment) < 2:
        return begin
    sums = np.cumsum(segment - segment.mean() + SLACK * segment.std() / sqrt(size))
    return begin + int(np.argmax(sums[:-1])) + 1
