"""Other files than recipes that hold one section: read and validated as recipes are, every mistake with its line."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from tunesmith.recipe.explain import explain, misplaced_booleans
from tunesmith.recipe.mistakes import RecipeMistakes
from tunesmith.recipe.read import read_recipe_file
from tunesmith.recipe.section import Section

S = TypeVar("S", bound=Section)


def read_section(path: Path, section: type[S], kind: str, fix: str) -> S:
    """Read the file; `kind` says what it is and `fix` how to get one. Raises RecipeError naming every wrong line."""
    tree = read_recipe_file(path, kind, fix)
    mistakes = list(misplaced_booleans(tree, section))
    found: S | None = None
    try:
        found = section.model_validate(tree.plain())
    except ValidationError as error:
        known = {mistake.field for mistake in mistakes}
        mistakes += [one for one in explain(error, tree, section) if one.field not in known]
    if mistakes or found is None:
        raise RecipeMistakes(mistakes, path)
    return found
