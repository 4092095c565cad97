"""The search space: configurations drawn from it, and what each makes of the recipe."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any

from tunesmith.recipe.schema import Recipe
from tunesmith.recipe.sweep import DimensionSection, SweepSection

Config = dict[str, Any]
"""Dotted setting -> value; a setting that waits for another value of another one is not there."""

MAX_GRID = 4096
"""A grid larger than this is no list anybody wants to try in turn."""


@dataclass(frozen=True)
class Space:
    """Every setting that differs, those that wait for others behind those they wait for."""

    dimensions: Mapping[str, DimensionSection]

    @classmethod
    def from_section(cls, section: SweepSection) -> Space:
        """The space of a recipe's `sweep` section."""
        waiting = sorted(section.space, key=lambda name: bool(section.space[name].when))
        return cls({name: section.space[name] for name in waiting})

    @property
    def size(self) -> int | None:
        """Number of different configurations; None where there is a range, or more of them than `MAX_GRID`."""
        if any(dimension.type != "choice" for dimension in self.dimensions.values()):
            return None
        if math.prod(len(dimension.choice) for dimension in self.dimensions.values()) > MAX_GRID:
            return None
        return len(self.grid())

    def active(self, name: str, config: Mapping[str, Any]) -> bool:
        """Whether a setting means anything beside these values of those it waits for."""
        return all(
            other in config and config[other] in (wanted if isinstance(wanted, list | tuple) else (wanted,))
            for other, wanted in self.dimensions[name].when.items()
        )

    def sample(self, rng: Random) -> Config:
        """Draw a configuration, each setting by itself."""
        config: Config = {}
        for name, dimension in self.dimensions.items():
            if self.active(name, config):
                config[name] = _drawn(dimension, rng)
        return config

    def some(self, number: int) -> list[Config]:
        """Configurations that stand for the space: all of a small one, else as many as asked for, always the same."""
        rng = Random(0)
        if self.size is None:
            return [self.sample(rng) for _ in range(number)]
        grid = self.grid()
        return grid if len(grid) <= number else rng.sample(grid, number)

    def grid(self) -> list[Config]:
        """Every combination of lists of values, the last setting changing fastest; ranges give their two ends."""
        return list(self._combinations())

    def _combinations(self) -> Iterator[Config]:
        seen = set()
        for values in product(*(ends(dimension) for dimension in self.dimensions.values())):
            config: Config = {}
            for name, value in zip(self.dimensions, values, strict=True):
                if self.active(name, config):
                    config[name] = value
            if key(config) not in seen:
                seen.add(key(config))
                yield config

    def apply(self, values: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
        """Lay a configuration over a recipe's plain values, as they are written; the sweep itself is left out.

        A configuration that names another `type` replaces the section beneath, as a recipe that extends another does.
        """
        laid = deepcopy({name: value for name, value in values.items() if name != "sweep"})
        recipe = Recipe.model_validate(laid)
        for name in sorted(config, key=lambda name: not name.endswith(".type")):
            parts = name.split(".")
            _put(laid, parts, config[name], anew=parts[-1] == "type" and _setting(recipe, parts) != config[name])
        return laid


def key(config: Mapping[str, Any]) -> str:
    """The identity of a configuration, whatever the order of its settings."""
    return json.dumps(config, sort_keys=True, separators=(",", ":"))


def ends(dimension: DimensionSection) -> tuple[Any, ...]:
    """The values of a list, or the two ends of a range."""
    if dimension.type == "choice":
        return dimension.choice
    return tuple(_number(dimension, float(end)) for end in (dimension.low or 0.0, dimension.high or 0.0))


def _drawn(dimension: DimensionSection, rng: Random) -> Any:
    if dimension.type == "choice":
        return rng.choice(dimension.choice)
    return at(dimension, rng.random())


def at(dimension: DimensionSection, share: float) -> Any:
    """The value of a range that lies at this share of the way from its low end, in the scale it is drawn in."""
    low, high = float(dimension.low or 0.0), float(dimension.high or 0.0)
    if dimension.type == "loguniform":
        return _number(dimension, low * (high / low) ** share)
    if dimension.type == "randint":
        return _number(dimension, min(high, low + math.floor(share * (high - low + 1))))
    return _number(dimension, low + share * (high - low))


def _number(dimension: DimensionSection, value: float) -> int | float:
    """Four digits are enough for a learning rate, and can be typed."""
    if dimension.type == "randint":
        return int(value)
    return min(max(float(f"{value:.4g}"), float(dimension.low or 0.0)), float(dimension.high or 0.0))


def _put(values: dict[str, Any], parts: list[str], value: Any, *, anew: bool) -> None:
    """Set a setting below plain values, making the sections on the way; `anew` drops what lies beside it."""
    here: Any = values
    for part in parts[:-1]:
        if isinstance(here, list):
            here = here[int(part)]
            continue
        if not isinstance(here.get(part), dict | list):
            here[part] = {}
        here = here[part]
    if anew:
        here.clear()
    here[int(parts[-1]) if isinstance(here, list) else parts[-1]] = value


def _setting(recipe: Recipe, parts: list[str]) -> Any:
    value: Any = recipe
    for part in parts:
        value = value[int(part)] if isinstance(value, tuple) else getattr(value, part, None)
    return value
