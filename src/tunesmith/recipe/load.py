"""From a file on disk to a validated recipe that knows where each value came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tunesmith.recipe.combine import apply_override, read_with_parents
from tunesmith.recipe.explain import explain, misplaced_booleans
from tunesmith.recipe.mistakes import RecipeMistakes
from tunesmith.recipe.paths import anchor_paths
from tunesmith.recipe.place import Located
from tunesmith.recipe.schema import Recipe
from tunesmith.recipe.section import Section

DEFAULT = "default"


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe, its file, the folder at which its relative paths start, and the origin of every field.

    `origins` maps a dotted field such as `train.learning_rate` or `data.train.0.path` to `quickstart.yaml:12` (as seen
    from `folder`), `--set` or `default`.
    """

    recipe: Recipe
    path: Path
    folder: Path
    origins: dict[str, str]


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> LoadedRecipe:
    """Read, extend, override and validate a recipe.

    Raises RecipeError naming file and line; all mistakes against the schema are reported together.
    """
    path = Path(path)
    folder = path.parent.resolve()
    tree = read_with_parents(path)
    for override in overrides:
        tree = apply_override(tree, override)
    tree = anchor_paths(tree, folder)
    mistakes = list(misplaced_booleans(tree))
    recipe: Recipe | None = None
    try:
        recipe = Recipe.model_validate(tree.plain())
    except ValidationError as error:
        known = {mistake.field for mistake in mistakes}
        mistakes += [mistake for mistake in explain(error, tree) if mistake.field not in known]
    if mistakes or recipe is None:
        raise RecipeMistakes(mistakes, path)
    return LoadedRecipe(recipe, path, folder, dict(_origins(recipe, tree, folder)))


def _origins(value: Any, node: Located | None, folder: Path, dotted: str = "") -> Iterator[tuple[str, str]]:
    """Walk the recipe and the file side by side; where the file has nothing, the default spoke."""
    if isinstance(value, Section):
        for name in type(value).model_fields:
            below = f"{dotted}.{name}" if dotted else name
            yield from _origins(getattr(value, name), _child(node, name, dotted), folder, below)
    elif isinstance(value, tuple) and value and isinstance(value[0], Section):
        for number, item in enumerate(value):
            is_listed = node is not None and isinstance(node.value, list)
            yield from _origins(item, node.value[number] if is_listed and node else node, folder, f"{dotted}.{number}")
    elif isinstance(value, dict) and value and dotted != "evaluate.json_schema":  # that is one value
        for name, item in value.items():
            yield from _origins(item, _child(node, name, dotted), folder, f"{dotted}.{name}")
    else:
        yield dotted, node.place.seen_from(folder) if node else DEFAULT


def _child(node: Located | None, name: str, dotted: str) -> Located | None:
    if node is None:
        return None
    if isinstance(node.value, dict):
        found: Located | None = node.value.get(name)
        return found
    return node if name == ("type" if dotted == "data.format" else "path") else None  # a short form
