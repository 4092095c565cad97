"""Find what is wrong with a search space before anything is spent: every corner of it must be a recipe."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from random import Random
from typing import Any

from pydantic import ValidationError

from tunesmith.recipe.dump import content
from tunesmith.recipe.explain import explain, misplaced_booleans
from tunesmith.recipe.load import LoadedRecipe
from tunesmith.recipe.mistakes import Mistake, RecipeMistakes
from tunesmith.recipe.place import Located, Place
from tunesmith.recipe.schema import Recipe
from tunesmith.sweep.space import Config, Space, ends

MAX_CORNERS = 2048
"""With more corners than this, so many drawn at random stand for them."""


def check_space(loaded: LoadedRecipe, space: Space) -> None:
    """Raise RecipeMistakes where a value, or values that meet in one trial, make no valid recipe; with their lines."""
    values = content(loaded.recipe, defaults=False)
    places = {name: _place(loaded, name) for name in space.dimensions}
    found: dict[tuple[str, str], Mistake] = {}
    for config in _corners(space):
        tree = _located(space.apply(values, config), places, Place(loaded.path))
        for mistake in _mistakes(tree):
            named = replace(mistake, what=mistake.what + _together(mistake.field, config))
            found.setdefault((mistake.field, mistake.what), named)
    if found:
        raise RecipeMistakes(found.values(), loaded.path)


def _corners(space: Space) -> Iterator[Config]:
    if math.prod(len(ends(dimension)) for dimension in space.dimensions.values()) <= MAX_CORNERS:
        yield from space.grid()
        return
    rng = Random(0)
    for _ in range(MAX_CORNERS):
        config: Config = {}
        for name, dimension in space.dimensions.items():
            if space.active(name, config):
                config[name] = rng.choice(ends(dimension))
        yield config


def _mistakes(tree: Located) -> list[Mistake]:
    mistakes = list(misplaced_booleans(tree))
    try:
        Recipe.model_validate(tree.plain())
    except ValidationError as error:
        mistakes += explain(error, tree)
    return mistakes


def _together(field: str, config: Config) -> str:
    """Name the values that meet in a section, where it is not one of them that is wrong by itself."""
    met = [f"{name}: {value}" for name, value in config.items() if name.startswith(f"{field}.")]
    return f" (in a trial with {', '.join(met)})" if met else ""


def _located(value: Any, places: Mapping[str, Place], above: Place, dotted: str = "") -> Located:
    """Plain values with the lines of the search space: a section takes the last line that changes something in it."""
    here = [place for name, place in places.items() if dotted and f"{name}.".startswith(f"{dotted}.")]
    place = here[-1] if here else above
    prefix = f"{dotted}." if dotted else ""
    if isinstance(value, dict):
        items = {name: _located(item, places, place, f"{prefix}{name}") for name, item in value.items()}
        return Located(items, place)
    if isinstance(value, list | tuple):
        return Located([_located(item, places, place, f"{prefix}{n}") for n, item in enumerate(value)], place)
    return Located(value, place, str(value))


def _place(loaded: LoadedRecipe, name: str) -> Place:
    prefix = f"sweep.space.{name}."
    origin = next(place for field, place in loaded.origins.items() if field.startswith(prefix) and place != "default")
    path, _, line = origin.rpartition(":")
    return Place(loaded.folder / path, int(line)) if path else Place(None, override=f"sweep.space.{name}")
