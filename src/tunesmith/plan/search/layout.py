"""One way to do a run: which machines, which method, how the model is shared out; and the recipe that says so."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tunesmith.errors import RecipeError
from tunesmith.plan import rules
from tunesmith.recipe.method import OF_TYPE, MethodSection
from tunesmith.recipe.schema import Recipe

METHODS = ("lora", "qlora", "full")


@dataclass(frozen=True)
class Settings:
    """What a plan may change in a recipe, besides the machines. In this order the first that fits is the fastest."""

    method: str
    strategy: str
    offload: str
    micro_batch_tokens: int
    gradient_checkpointing: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def settings_of(recipe: Recipe) -> Settings:
    """Those of the recipe as it stands."""
    return Settings(
        recipe.method.type,
        recipe.resources.strategy,
        recipe.resources.offload,
        recipe.train.micro_batch_tokens,
        recipe.train.gradient_checkpointing,
    )


def with_settings(recipe: Recipe, settings: Settings, workers: int, on_gpu: bool) -> Recipe:
    """The recipe with other settings, for so many workers. Raises RecipeError for what does not go together."""
    method = recipe.method
    if settings.method != method.type:
        kept = set(OF_TYPE[settings.method]) & set(OF_TYPE[method.type])
        values = {name: getattr(method, name) for name in kept}
        method = MethodSection(type=settings.method, **values)
    resources = recipe.resources.model_copy(
        update={
            "workers": workers,
            "strategy": settings.strategy,
            "offload": settings.offload,
            "offload_folder": recipe.resources.offload_folder if settings.offload == recipe.resources.offload else None,
            "gpus_per_worker": int(on_gpu),
        }
    )
    train = recipe.train.model_copy(
        update={
            "micro_batch_tokens": settings.micro_batch_tokens,
            "gradient_checkpointing": settings.gradient_checkpointing,
        }
    )
    changed = recipe.model_copy(update={"method": method, "resources": resources, "train": train})
    rules.pairs(changed)
    rules.offloads(resources)
    if settings.offload != "none" and not on_gpu:
        raise RecipeError(
            "a worker without GPU has nowhere to offload to: all of it is in memory already",
            where="resources.offload",
            fix="set resources.offload: none",
        )
    return changed


SHARING = (
    ("ddp", "none"),
    ("zero2", "none"),
    ("fsdp", "none"),
    ("zero3", "none"),
    ("zero2", "optimizer"),
    ("fsdp", "all"),
    ("zero3", "all"),
)
"""Strategy and offload, the fastest first. `zero1` holds more than `zero2` and sends as much."""


def sharings(workers: int, on_gpu: bool) -> tuple[tuple[str, str], ...]:
    """The ways to share out the model that make a difference with so many workers."""
    return tuple(
        (strategy, offload)
        for strategy, offload in SHARING
        if (on_gpu or offload == "none") and (workers > 1 or strategy == "ddp" or offload != "none")
    )


def micro_batches(recipe: Recipe) -> tuple[int, ...]:
    """Tokens at once: as the recipe says, and one row."""
    written, row = recipe.train.micro_batch_tokens, recipe.train.sequence_length
    return (written, row) if row < written else (written,)
