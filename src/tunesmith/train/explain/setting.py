"""The facts of a run that decide what its workers hold, gathered once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from tunesmith.errors import ModelError
from tunesmith.models.load import choose_dtype
from tunesmith.models.meta import Weight, build, weights_of
from tunesmith.recipe.schema import Recipe
from tunesmith.train.strategies.layers import decoder_layers
from tunesmith.train.strategies.zero import reduce_bucket


@dataclass(frozen=True)
class Setting:
    """A model laid out on the meta device, and who trains it how.

    `layers` names the index of each weight's decoder layer; weights outside of the layers are not in it.
    """

    recipe: Recipe
    model: Any
    weights: list[Weight]
    layers: dict[str, int]
    workers: int
    compute: torch.dtype

    @property
    def strategy(self) -> str:
        """How the workers share the model."""
        return self.recipe.resources.strategy

    @property
    def trained(self) -> list[Weight]:
        """The weights that are trained, in the model's order."""
        return [weight for weight in self.weights if weight.trained]

    @property
    def trained_values(self) -> int:
        """How many numbers are trained."""
        return sum(weight.values for weight in self.trained)

    @property
    def base_values(self) -> int:
        """How many parameters the base model has, packed or not."""
        return sum(weight.values for weight in self.weights if not (weight.trained and self.recipe.method.has_adapter))

    @property
    def converts(self) -> bool:
        """Whether weights in float32 are computed with in another type."""
        return not self.recipe.method.has_adapter and self.compute != torch.float32

    @property
    def kept(self) -> torch.dtype:
        """The type that trained weights and their gradients are kept in: DeepSpeed's engine converts all weights."""
        return self.compute if self.converts and self.strategy.startswith("zero") else torch.float32

    @property
    def bucket(self) -> int:
        """Values that DeepSpeed reduces at a time."""
        return reduce_bucket(self.trained_values)

    @property
    def reads_share(self) -> bool:
        """Whether each worker reads only its share of the base."""
        return self.strategy in ("fsdp", "zero3") and self.workers > 1 and not self.recipe.method.dora

    def groups(self) -> list[list[Weight]]:
        """The weights of each decoder layer, and last those outside of all layers."""
        found: dict[int, list[Weight]] = {}
        for weight in self.weights:
            found.setdefault(self.layers.get(weight.name, -1), []).append(weight)
        rest = found.pop(-1, [])
        return [found[index] for index in sorted(found)] + [rest]


def on_gpus(recipe: Recipe) -> bool:
    """Whether the run is meant for GPUs: the recipe says so, or leaves it open on a machine that has some."""
    asked = recipe.resources.gpus_per_worker
    return torch.cuda.is_available() if asked is None else asked > 0


def setting_of(recipe: Recipe, config: Any) -> Setting:
    """Lay the recipe's model out by its config. Raises ModelError where the model could not be trained like that."""
    open_type = recipe.base.dtype == "auto" and on_gpus(recipe)
    compute = torch.bfloat16 if open_type else choose_dtype(recipe.base.dtype, torch.device("cpu"))
    model = build(config, recipe.base, recipe.method, compute)
    weights = weights_of(model, recipe.method, compute)
    try:
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        layers = {
            names[id(parameter)]: index
            for index, layer in enumerate(decoder_layers(model))
            for parameter in layer.parameters()
        }
    except ModelError:
        if recipe.resources.strategy in ("fsdp", "zero3"):
            raise
        layers = {}
    return Setting(recipe, model, weights, layers, recipe.resources.workers, compute)
