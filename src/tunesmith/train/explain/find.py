"""The config of a recipe's base model, with as little fetched as will do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith.errors import ModelError, ModelNotHere
from tunesmith.models.files import has_all_weights
from tunesmith.models.load import load_config
from tunesmith.models.meta import published_config
from tunesmith.models.resolve import ResolvedModel, resolve_model

if TYPE_CHECKING:
    from tunesmith.recipe.load import LoadedRecipe
    from tunesmith.store.home import Home


@dataclass(frozen=True)
class Shapes:
    """A model's config and where it was found.

    `model` is what lies on this machine of it, `complete` with its weights or only config and tokenizer; None when only
    the table of published shapes knows it, for the reason `missing`.
    """

    config: Any
    origin: str
    model: ResolvedModel | None
    complete: bool
    missing: ModelError | None = None


def find_shapes(loaded: LoadedRecipe, home: Home) -> Shapes:
    """The config from the model's folder, else from the hub, else from our table of published shapes.

    No weights are fetched. Raises ModelError when none of them has it.
    """
    section = loaded.recipe.model
    try:
        model = resolve_model(section, loaded.folder, home.models, weights=False)
        config = load_config(model.folder, section)
        return Shapes(config, f"config.json of {model.source}", model, has_all_weights(model.folder))
    except ModelNotHere as error:
        config = published_config(section)
        if config is None:
            raise
        return Shapes(config, "the table of published shapes", None, False, error)
