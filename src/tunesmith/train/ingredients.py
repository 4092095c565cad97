"""What a recipe says about rows and model, brought together: the same for every verb that reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith.data.prepare import Preparation
from tunesmith.data.render import Renderer
from tunesmith.data.template import ChatTemplate
from tunesmith.models.load import load_tokenizer, stop_token_ids
from tunesmith.models.resolve import ResolvedModel, resolve_model

if TYPE_CHECKING:
    from tunesmith.recipe.load import LoadedRecipe
    from tunesmith.store.home import Home


@dataclass(frozen=True)
class Ingredients:
    """The base model on this machine, its tokenizer, how it reads a conversation, and the dataset version to make."""

    model: ResolvedModel
    tokenizer: Any
    renderer: Renderer
    preparation: Preparation


def ingredients(loaded: LoadedRecipe, home: Home, weights: bool = True) -> Ingredients:
    """Find the model and load its tokenizer; no weights are loaded and no rows are read.

    Without `weights` the model's folder may have none. Raises ModelError when the model or its chat template cannot be
    had.
    """
    recipe = loaded.recipe
    model = resolve_model(recipe.model, loaded.folder, home.models, weights)
    tokenizer = load_tokenizer(model.folder, recipe.model, loaded.folder)
    template = ChatTemplate(tokenizer, model.source, recipe.data.train_on)
    renderer = Renderer(tokenizer, template, stop_token_ids(tokenizer, model.folder))
    preparation = Preparation(
        data=recipe.data,
        folder=loaded.folder,
        renderer=renderer,
        model={"source": model.source, "revision": model.revision},
        sequence_length=recipe.train.sequence_length,
        packing=recipe.train.packing,
    )
    return Ingredients(model, tokenizer, renderer, preparation)
