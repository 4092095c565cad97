"""Windows of traffic against the profile of the training data: does what is asked differ, in what, and where."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from tunesmith.data.profile import Profile
from tunesmith.errors import DataError
from tunesmith.monitor.drift.calibrate import LEAN, MIN_ROWS, calibrate
from tunesmith.monitor.drift.compare import (
    CHI_SQUARE,
    DIVERGENCE,
    Chance,
    Side,
    Test,
    all_tests,
    effects,
    measure,
    p_values,
)
from tunesmith.monitor.drift.observed import Observed
from tunesmith.monitor.drift.reference import Reference
from tunesmith.monitor.drift.region import region
from tunesmith.monitor.drift.state import DriftState, Seen
from tunesmith.monitor.drift.statistics import stability_index
from tunesmith.recipe.monitor import DriftSection

Prompt = Sequence[Mapping[str, Any]]

ALONE = 0.05
"""Corrected p-value from which a window by itself counts as different: shown, and no alarm."""


PART = 0.5
"""Each window of a row must show at least this part of the row's effect: one odd window does not alarm by itself."""


@dataclass(frozen=True)
class DescriptorResult:
    """One descriptor of one window, or of a row of windows: `corrected` is `p` for all that are tested, at most 1;
    `effect` in the units of `floor`, below which it fires never; `stability_index` where values are counted."""

    test: str
    statistic: float
    p: float
    corrected: float
    effect: float
    floor: float
    fired: bool
    stability_index: float | None = None


@dataclass(frozen=True)
class DriftWindow:
    """Requests `start` up to `end` of those given, the window `number` since the state began.

    `fired`: this window differs by itself. `alarm`: the last windows do, taken together by `row`, each of them in the
    same way, and `p` (corrected) is at most `threshold`, which stationary traffic rarely reaches. `causes` are the
    descriptors that did it. `region` are the requests most unlike the reference, first the most, with their `scores`;
    only a window that fired or alarmed has one.
    """

    number: int
    start: int
    end: int
    fired: bool
    alarm: bool
    p: float
    threshold: float
    results: dict[str, DescriptorResult]
    row: dict[str, DescriptorResult]
    causes: list[str]
    region: list[int]
    scores: list[float]


def watch_drift(
    profile: Profile, prompts: Sequence[Prompt], settings: DriftSection, state: DriftState | None = None
) -> tuple[list[DriftWindow], DriftState]:
    """Judge every whole window of `prompts`, which are in the order of time.

    What is left of the last window is not judged: give it again, before what came later. A state of other settings or
    another profile begins anew. Raises DataError for a profile of fewer than MIN_ROWS rows.
    """
    if len(profile) < MIN_ROWS:
        raise DataError(
            f"the training data have {len(profile)} rows; what changed cannot be told by fewer than {MIN_ROWS}",
            where="monitor.drift",
            fix="train on more rows, or watch feedback and the golden set only",
        )
    reference = _reference(_Held(profile, profile.fingerprint), settings.embedding != "none")
    state = begin(reference, settings, state)
    windows = []
    for start in range(0, len(prompts) - settings.window + 1, settings.window):
        asked = profile.of_prompts(prompts[start : start + settings.window])
        window, state = judge(reference, asked, reference.observe(asked), start, settings, state)
        windows.append(window)
    return windows, state


def begin(reference: Reference, settings: DriftSection, state: DriftState | None = None) -> DriftState:
    """The state as it is, or a new one, calibrated, where there is none or it belongs to something else."""
    parts = [reference.profile.fingerprint, settings.model_dump_json(), str(MIN_ROWS)]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    if state is not None and state.key == key:
        return state
    found = calibrate(reference, settings.window, settings.windows_in_row, settings.false_alarms)
    return DriftState(key, state.windows if state is not None else 0, found)


def judge(
    reference: Reference, asked: Profile, observed: Observed, start: int, settings: DriftSection, state: DriftState
) -> tuple[DriftWindow, DriftState]:
    """One window, whose first request has the index `start`, and what is remembered after it."""
    tests, chance = all_tests(reference.observed), state.calibration.chance
    side = Side.of(observed, reference.num_cells)
    seen, results = _compare(tests, reference.side, side, chance)
    kept = (*state.recent, seen)[-settings.windows_in_row :]
    row: dict[str, DescriptorResult] = {}
    causes: list[str] = []
    corrected = 1.0
    if len(kept) == settings.windows_in_row:
        together, row = _compare(tests, reference.side, Side.together([one.side for one in kept]), chance)
        leans = np.all([(one.p <= LEAN) & (one.effect >= PART * together.effect) for one in kept], axis=0)
        leaning = [row[test.name] for test, lean in zip(tests, leans, strict=True) if lean]
        corrected = min((result.corrected for result in leaning), default=1.0)
        causes = [
            test.name
            for test, lean in zip(tests, leans, strict=True)
            if lean and row[test.name].corrected <= state.calibration.threshold
            and row[test.name].effect >= test.floor
        ]  # fmt: skip
    fired = any(result.fired for result in results.values())
    found: list[int] = []
    scores: list[float] = []
    if (fired or causes) and reference.likeness is not None and observed.unlikeness is not None:
        found, scores = region(reference.likeness, asked.features, observed.unlikeness)
    window = DriftWindow(
        number=state.windows,
        start=start,
        end=start + len(asked),
        fired=fired,
        alarm=bool(causes),
        p=corrected,
        threshold=state.calibration.threshold,
        results=results,
        row=row,
        causes=sorted(causes, key=lambda name: row[name].corrected),
        region=[start + place for place in found],
        scores=scores,
    )
    recent = kept[-(settings.windows_in_row - 1) :] if settings.windows_in_row > 1 else ()
    return window, DriftState(state.key, state.windows + 1, state.calibration, recent)


def _compare(
    tests: list[Test], reference: Side, window: Side, chance: Chance
) -> tuple[Seen, dict[str, DescriptorResult]]:
    statistic, degrees = measure(tests, reference, window)
    p = p_values(tests, statistic, degrees, (reference.size, window.size), chance)
    effect = effects(tests, statistic, reference, window, chance)
    results = {}
    for place, test in enumerate(tests):
        corrected = min(1.0, float(p[place]) / test.weight)
        counted = test.kind in {CHI_SQUARE, DIVERGENCE}
        counts = (side.counts[test.name] for side in (reference, window)) if counted else ()
        results[test.name] = DescriptorResult(
            test=test.kind,
            statistic=float(statistic[place]),
            p=float(p[place]),
            corrected=corrected,
            effect=float(effect[place]),
            floor=test.floor,
            fired=bool(corrected <= ALONE and effect[place] >= test.floor),
            stability_index=stability_index(*counts) if counted else None,
        )
    return Seen(window, p, effect), results


@dataclass(frozen=True)
class _Held:
    """A profile that is the same as another of the same fingerprint."""

    profile: Profile
    fingerprint: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.fingerprint == self.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)


@lru_cache(maxsize=4)
def _reference(held: _Held, embedding: bool) -> Reference:
    """Made once: it takes a second or two."""
    return Reference(held.profile, embedding)
