"""Lay recipes over each other: `extends:` and `--set`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tunesmith.errors import RecipeError
from tunesmith.recipe.place import Located, Place
from tunesmith.recipe.read import read_override, read_recipe_file

_SHORT_FORMS = {"data.train": "path", "data.validation": "path", "data.test": "path", "data.format": "type"}
"""Fields that may be one word, and the key which that word stands for."""


def read_with_parents(path: Path, opened: Sequence[Path] = ()) -> Located:
    """Read a recipe and everything it extends. Raises RecipeError for a circle or a parent that is not there."""
    root = read_recipe_file(path)
    chain = [*opened, path]
    keys = dict(root.value)
    extends: Located | None = keys.pop("extends", None)
    own = replace(root, value=keys)
    if extends is None:
        return own
    parent = _parent_path(extends, path)
    if any(_same(parent, earlier) for earlier in chain):
        circle = " -> ".join(str(step) for step in [*chain, parent])
        raise RecipeError(f"extends goes in a circle: {circle}", where=str(extends.place), fix="remove one of them")
    if not parent.exists():
        raise RecipeError(
            f"extends: there is no file '{extends.value}' (looked for {parent})",
            where=str(extends.place),
            fix="a relative path starts at the folder of the recipe that names it",
        )
    return merge(read_with_parents(parent, chain), own)


def _parent_path(extends: Located, path: Path) -> Path:
    if not isinstance(extends.value, str) or not extends.value:
        raise RecipeError(
            f"extends: {extends.shown()} is not the path of a recipe",
            where=str(extends.place),
            fix="give one path, such as `extends: base.yaml`",
        )
    return Path(os.path.normpath(path.parent / Path(extends.value).expanduser()))


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def merge(under: Located, over: Located) -> Located:
    """Lay `over` on `under`: mappings are merged key by key, anything else is replaced.

    A mapping that names another `type` replaces the one beneath: settings of one kind mean nothing to another.
    """
    if not isinstance(under.value, dict) or not isinstance(over.value, dict) or _other_type(under, over):
        return over
    merged = dict(under.value)
    for key, item in over.value.items():
        merged[key] = merge(merged[key], item) if key in merged else item
    return Located(merged, over.place)


def _other_type(under: Located, over: Located) -> bool:
    types = [side.value["type"].value for side in (under, over) if "type" in side.value]
    return len(types) == 2 and types[0] != types[1]


def apply_override(root: Located, override: str) -> Located:
    """Apply one `train.learning_rate=1e-4`; the value is read as YAML. Raises RecipeError when it cannot be placed."""
    place = Place(None, override=override)
    dotted, equals, text = override.partition("=")
    parts = dotted.strip().split(".")
    if not equals or not all(parts):
        fix = "write it like `--set train.learning_rate=1e-4`"
        raise RecipeError("an override is `field=value`", where=str(place), fix=fix)
    if parts[0] == "extends":
        raise RecipeError("extends belongs in a file", where=str(place), fix="put `extends:` at the top of a recipe")
    if not text.strip():
        raise RecipeError("no value follows the '='", where=str(place), fix="write `null` to take a value away")
    return _set(root, parts, read_override(text, place), [])


def _set(node: Located, parts: Sequence[str], value: Located, above: list[str]) -> Located:
    if not parts:
        return merge(node, value)
    part, rest, here = parts[0], parts[1:], [*above, parts[0]]
    node = _opened(node, ".".join(above), value.place)
    if isinstance(node.value, list):
        return _set_item(node, parts, value, above)
    if part == "0" and ".".join(above) in _SHORT_FORMS:  # one source stands for a list of one
        return _set(node, rest, value, above)
    below = node.value.get(part)
    if below is None:
        below = Located({}, value.place) if rest else value
    return replace(node, value={**node.value, part: _set(below, rest, value, here)})


def _set_item(node: Located, parts: Sequence[str], value: Located, above: list[str]) -> Located:
    part, rest = parts[0], parts[1:]
    size = len(node.value)
    if not part.isdecimal() or int(part) >= size:
        raise RecipeError(
            f"{'.'.join(above)} is a list of {size}; '{part}' is not the number of an item",
            where=str(value.place),
            fix=f"count from 0, or replace the whole list: `--set {'.'.join(above)}=[...]`",
        )
    items = list(node.value)
    items[int(part)] = _set(items[int(part)], rest, value, [*above, part])
    return Located(items, value.place if not rest else node.place)


def _opened(node: Located, dotted: str, place: Place) -> Located:
    """Make a mapping of what an override reaches into: a short form is spelled out, an empty section filled."""
    if isinstance(node.value, dict | list):
        return node
    if node.value is None:
        return Located({}, place)
    field = re.sub(r"\.\d+$", "", dotted)  # one of several sources may be a bare path too
    if isinstance(node.value, str) and field in _SHORT_FORMS:
        return Located({_SHORT_FORMS[field]: node}, node.place)
    raise RecipeError(
        f"{dotted} is {node.shown()} at {node.place}, not a section", where=str(place), fix=f"set `{dotted}` itself"
    )
