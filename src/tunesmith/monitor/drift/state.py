"""What is remembered between two looks at traffic: the last windows, and how strong evidence must be."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunesmith.errors import StoreError
from tunesmith.monitor.drift.calibrate import Calibration
from tunesmith.monitor.drift.compare import Chance, Side


@dataclass(frozen=True)
class Seen:
    """A window that was compared: the sample, and (tests,) p-values and effects."""

    side: Side
    p: np.ndarray
    effect: np.ndarray


@dataclass(frozen=True)
class DriftState:
    """`windows` judged so far; `key` of the profile and the settings they were judged by; of the last ones, which may
    yet be part of a row, the samples and what came out. Holds numbers and counts, no text."""

    key: str
    windows: int
    calibration: Calibration
    recent: tuple[Seen, ...] = ()

    def dump(self) -> str:
        """As JSON."""
        recent = [_side(one.side) | {"p": one.p.tolist(), "effect": one.effect.tolist()} for one in self.recent]
        chance = self.calibration.chance
        calibration = [self.calibration.threshold, chance.mean, chance.variance]
        return json.dumps({"key": self.key, "windows": self.windows, "calibration": calibration, "recent": recent})

    @classmethod
    def load(cls, text: str) -> DriftState:
        """From what `dump` made. Raises StoreError for anything else."""
        try:
            found = json.loads(text)
            threshold, mean, variance = map(float, found["calibration"])
            recent = tuple(
                Seen(_to_side(one), *(np.array(one[part], float) for part in ("p", "effect")))
                for one in found["recent"]
            )
            return cls(str(found["key"]), int(found["windows"]), Calibration(threshold, Chance(mean, variance)), recent)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"what was remembered of the last windows of traffic is damaged ({error})",
                fix="forget it: the next window begins anew",
            ) from error


def _side(side: Side) -> dict[str, Any]:
    return {
        "size": side.size,
        "numbers": {name: [float(f"{value:.9g}") for value in values] for name, values in side.numbers.items()},
        "counts": {name: values.astype(int).tolist() for name, values in side.counts.items()},
        "unlikeness": [side.mean, side.deviation],
    }


def _to_side(found: dict[str, Any]) -> Side:
    return Side(
        int(found["size"]),
        # Nine digits are a float32 exactly, so that equal values stay equal.
        {str(name): np.array(values, np.float32).astype(float) for name, values in found["numbers"].items()},
        {str(name): np.array(values, float) for name, values in found["counts"].items()},
        *map(float, found["unlikeness"]),
    )
