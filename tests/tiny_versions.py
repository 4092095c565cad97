"""A registered version of a tiny model with an adapter that says something else than its base."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from tests import tiny_models
from tunesmith.recipe.method import MethodSection
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion, Version
from tunesmith.store.clock import utc_now
from tunesmith.store.home import find_home


def adapter(folder: Path, method: MethodSection, chat_template: str | None = None, **changes: Any) -> Path:
    """Write an adapter for `tiny_models.model()` into a folder."""
    import torch

    from tunesmith.models.lora import attach_lora, save_adapter

    model = attach_lora(tiny_models.model(**changes).requires_grad_(False), method, 0)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
            if "magnitude" in name:
                weight.mul_(1.5)
    folder.mkdir(parents=True)
    save_adapter(model, folder, "base", chat_template)
    return folder


def register(
    start: Path, method: MethodSection | None = None, recipe: dict[str, Any] | None = None,
    now: Callable[[], datetime] = utc_now, **changes: Any,
) -> Version:  # fmt: skip
    """Save a base into `start/base`, an adapter into `start/adapter`, and register it as `tiny` in the home."""
    from tunesmith.models.resolve import resolve_model
    from tunesmith.recipe.model import ModelSection

    base = tiny_models.save(start / "base", **changes)
    adapter(start / "adapter", method or MethodSection(rank=4), **changes)
    section = ModelSection(source=str(base), dtype="float32")
    new = NewVersion(
        name="tiny",
        kind="adapter",
        base_model=str(base),
        base_revision=resolve_model(section, start, start).revision,
        recipe_hash="r1",
        recipe={"model": section.model_dump(mode="json"), **(recipe or {})},
        created_by="ann",
        verdict="passed",
    )
    registry = Registry.open(find_home(), now=now)
    try:
        return registry.register(new, start / "adapter")
    finally:
        registry.close()
