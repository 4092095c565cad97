"""Which methods, optimizers, strategies and offloads go together: known before anything heavy is imported."""

from __future__ import annotations

from tunesmith.errors import RecipeError
from tunesmith.recipe.resources import ResourcesSection
from tunesmith.recipe.schema import Recipe

OFFLOADS = {
    "ddp": ("none",),
    "fsdp": ("none", "all"),
    "zero1": ("none", "optimizer"),
    "zero2": ("none", "optimizer"),
    "zero3": ("none", "optimizer", "all"),
}
"""What each strategy can keep in memory instead of on the GPU. FSDP2's offload takes the optimizer's state along."""


def pairs(recipe: Recipe) -> None:
    """A method or optimizer that the strategy cannot share out. Raises RecipeError, naming a pair that can."""
    method, strategy = recipe.method, recipe.resources.strategy
    if strategy in ("fsdp", "zero3") and method.type == "qlora" and method.quantisation == "int8":
        raise RecipeError(
            f"{strategy} cannot cut weights of 8 bits: their scales belong to whole rows",
            where="method.quantisation",
            fix="set method.quantisation: nf4, or resources.strategy: ddp",
        )
    if recipe.train.optimizer != "adamw" and strategy != "ddp":
        raise RecipeError(
            f"{strategy} cuts the optimizer's state where blocks of 8 bits cannot be cut",
            where="train.optimizer",
            fix="set train.optimizer: adamw, whose state is shared out already, or resources.strategy: ddp",
        )


def offloads(resources: ResourcesSection) -> None:
    """An offload that the strategy cannot do. Raises RecipeError naming the field."""
    strategy, offload, folder = resources.strategy, resources.offload, resources.offload_folder
    if offload not in OFFLOADS[strategy]:
        known = [name for name, offers in OFFLOADS.items() if offload in offers]
        offers = " or ".join(OFFLOADS[strategy])
        raise RecipeError(
            f"{strategy} cannot offload {'its optimizer alone' if offload == 'optimizer' else 'parameters'}",
            where="resources.offload",
            fix=f"set resources.offload: {offers}, or resources.strategy: {' or '.join(known)}",
        )
    if folder is not None and (strategy != "zero3" or offload == "none"):
        raise RecipeError(
            "only zero3 with offload uses a folder",
            where="resources.offload_folder",
            fix="leave it out, or set resources.strategy: zero3 and resources.offload: optimizer or all",
        )
