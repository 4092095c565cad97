"""Configurations as points of the unit cube, for what learns from numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.sweep.space import Space

ABSENT = 0.5
"""Where a setting lies that a configuration does not have: in the middle, so that it pulls to no side."""


@dataclass(frozen=True)
class Encoding:
    """Numbers lie on an axis (a logarithmic one where all are above 0), other values have one axis each."""

    space: Space

    def point(self, config: Mapping[str, Any]) -> list[float]:
        """Coordinates from 0 to 1, the same number of them for every configuration."""
        coordinates: list[float] = []
        for name, dimension in self.space.dimensions.items():
            if dimension.type != "choice":
                bounds = (float(dimension.low or 0.0), float(dimension.high or 0.0))
                logarithmic = dimension.type == "loguniform"
                coordinates.append(_share(config[name], bounds, logarithmic) if name in config else ABSENT)
            elif _numeric(dimension.choice):
                bounds = (min(dimension.choice), max(dimension.choice))
                coordinates.append(_share(config[name], bounds, bounds[0] > 0) if name in config else ABSENT)
            else:
                coordinates += [
                    float(repr(config[name]) == repr(value)) if name in config else ABSENT for value in dimension.choice
                ]
        return coordinates


def _numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _share(value: float, bounds: tuple[float, float], logarithmic: bool) -> float:
    low, high = (math.log(bound) for bound in bounds) if logarithmic else bounds
    place = math.log(value) if logarithmic else value
    return (place - low) / (high - low) if high > low else ABSENT
