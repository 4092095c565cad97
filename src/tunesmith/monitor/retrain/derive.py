"""The recipe of a retrain: the user's own, with the rows that were gathered, written beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith.errors import ModelError
from tunesmith.monitor.retrain.dataset import NEW_TEST, NEW_TRAIN, OLD
from tunesmith.recipe.dump import dump_recipe
from tunesmith.recipe.load import LoadedRecipe
from tunesmith.recipe.schema import Recipe
from tunesmith.store.durable import write_whole

RECIPE, TEMPLATE = "recipe.yaml", "template.jinja"
SOURCES = {"train": (OLD["train"], NEW_TRAIN), "validation": (OLD["validation"],), "test": (OLD["test"], NEW_TEST)}


def write_recipe(loaded: LoadedRecipe, folder: Path, labelled: bool) -> Path:
    """Write the recipe that is trained. It names all that it needs: `tunesmith run` gives the same again."""
    path = folder / RECIPE
    if (template := loaded.recipe.model.chat_template) is not None:
        # Copied: the folder goes to other machines, and the user's file may change meanwhile.
        write_whole(folder / TEMPLATE, _read(loaded.folder / Path(template).expanduser()))
    text = (
        f"# Written by `tunesmith retrain` from {loaded.path.name}.\n{dump_recipe(derived(loaded, folder, labelled))}"
    )
    write_whole(path, text.encode())
    return path


def derived(loaded: LoadedRecipe, folder: Path, labelled: bool) -> Recipe:
    """The recipe as it reads the files in `folder`, with what a retrain may cost as its budget."""
    values = loaded.recipe.model_dump(mode="json", exclude_unset=True)
    data: dict[str, Any] = {key: value for key, value in values["data"].items() if key not in ("max_train_examples",)}
    for part, files in SOURCES.items():
        found = [{"type": "file", "path": f"./{name}"} for name in files if (folder / name).is_file()]
        data[part] = found or None
    data["format"] = {"type": "chat", "label_column": "label"} if labelled else {"type": "chat"}
    if loaded.recipe.data.overlong == "error":
        data["overlong"] = "drop"  # the old rows have passed; one long question of a client is no reason to stop
    model = {**values["model"], "source": _anchored(loaded, loaded.recipe.model.source)}
    if loaded.recipe.model.chat_template is not None:
        model["chat_template"] = f"./{TEMPLATE}"
    changed: dict[str, Any] = {**values, "data": data, "model": model}
    limits = [loaded.recipe.retrain.max_usd if loaded.recipe.retrain else None, loaded.recipe.budget.max_usd]
    if given := [limit for limit in limits if limit is not None]:
        changed["budget"] = {**values.get("budget", {}), "max_usd": min(given)}
    return Recipe.model_validate(changed)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"the chat template cannot be read ({error.strerror})", where=str(path), fix="correct model.chat_template"
        ) from None


def _anchored(loaded: LoadedRecipe, source: str) -> str:
    """A path by its whole name: the recipe is read from another folder now."""
    path = loaded.folder / Path(source).expanduser()
    return str(path.resolve()) if "://" not in source and path.exists() else source
