"""When a stream of numbers has got worse: ADWIN and Page-Hinkley, from the start, the same every time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
"""Values within which a second alarm of a detector is about the same change as the first."""


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

    detector, found = ADWIN(delta=settings.delta), []
    for index, value in enumerate(good.tolist()):
        before = detector.estimation
        detector.update(value)
        if detector.drift_detected and detector.estimation < before:
            found.append(index)
    return _alarms(good, found)


def page_hinkley(good: np.ndarray, settings: QualitySection) -> list[Alarm]:
    """Where what the values fell short of their mean by has cumulated to the threshold (Page 1954), in standard
    deviations: of the first 100, and after an alarm of the values that raised it where they vary more. `good` as for
    ADWIN."""
    from river.drift import PageHinkley

    def begin() -> PageHinkley:
        return PageHinkley(min_instances=30, delta=SLACK, threshold=settings.page_hinkley_threshold, mode="down")

    spread = max(float(np.std(good[:FIRST])), LEAST_SPREAD)
    detector, found, start = begin(), [], 0
    for index, value in enumerate(good.tolist()):
        detector.update(value / spread)
        if detector.drift_detected:
            found.append(index)
            start = _cut(good, start, index)
            spread = max(spread, float(np.std(good[start : index + 1])))
            detector = begin()
    return _alarms(good, found)


Detector = Callable[[np.ndarray, QualitySection], list[Alarm]]
DETECTORS: dict[str, Detector] = {"adwin": adwin, "page_hinkley": page_hinkley}


def _alarms(good: np.ndarray, indices: Sequence[int]) -> list[Alarm]:
    """One alarm for each change: where the stream between two alarms is best divided in two."""
    found: list[Alarm] = []
    last = begin = 0
    for index in indices:
        if found and index - last < SAME:
            last = index
            continue
        cut = _cut(good, begin, index)
        found.append(Alarm(index, cut, begin))
        last, begin = index, cut
    return found


def _cut(good: np.ndarray, begin: int, index: int) -> int:
    """Where values from `begin` to `index` are best divided into a better and a worse part: the sum of their deviations
    is greatest there."""
    segment = good[begin : index + 1]
    return begin + int(np.argmax(np.cumsum(segment - segment.mean())[:-1])) + 1 if len(segment) > 1 else begin
