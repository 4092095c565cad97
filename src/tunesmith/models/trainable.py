"""From a base model's folder to a model of which some weights are trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tunesmith.errors import ModelError
from tunesmith.models.attention import PACKED, register
from tunesmith.models.held import HeldBase
from tunesmith.models.load import choose_dtype, load_base
from tunesmith.models.lora import attach_lora
from tunesmith.models.outline import UnsuitedError, outline
from tunesmith.models.quantise import base_folder
from tunesmith.recipe.method import MethodSection
from tunesmith.recipe.model import ModelSection

WHOLE = "each worker loads the whole base model before it is cut"


def load_trainable(
    folder: Path,
    section: ModelSection,
    method: MethodSection,
    device: torch.device,
    seed: int,
    cache: Path,
    loaded_whole: Callable[[str], None] | None = None,
    held: HeldBase | None = None,
) -> tuple[Any, torch.dtype]:
    """The base model, or a PEFT model around it, with gradients on for what `method` trains; the type to compute in.

    Adapters are in float32 beside frozen weights in the type to compute in. Weights that are trained themselves are in
    float32 whatever is computed in, so that small steps are not rounded away.

    With `loaded_whole`, the base's weights are left unread (`models.outline`) for the strategy to read in shares, and
    the attention is left for it to check; a model that cannot be had so is loaded whole, and `loaded_whole` is told
    why. `held` keeps the frozen base beneath an adapter for the next run. Raises ModelError when `method` names layers
    that the model does not have.
    """
    register()
    dtype = choose_dtype(section.dtype, device)
    folder = base_folder(folder, section, method, device, cache)
    if not method.has_adapter:
        section = section.model_copy(update={"dtype": "float32"})
    if loaded_whole and method.has_adapter and method.dora:
        loaded_whole(f"{WHOLE}: DoRA starts from the norms of whole weights")
        loaded_whole = None
    if held is not None and method.has_adapter and not loaded_whole:
        name = (str(folder), str(dtype), str(device), method.type, str(section.trust_remote_code))
        model = held.take(name, lambda: load_base(folder, section, device, PACKED))
        return held.lend(attach_lora(model, method, seed)), dtype
    model = _unread(folder, section, device, loaded_whole) if loaded_whole else None
    if model is None:
        model = load_base(folder, section, device, PACKED)
    if method.has_adapter:
        return attach_lora(model, method, seed), dtype
    train_layers(model, method)
    return model, dtype


def _unread(folder: Path, section: ModelSection, device: torch.device, loaded_whole: Callable[[str], None]) -> Any:
    """The outline of the base, or None when it must be loaded whole."""
    try:
        return outline(folder, section, device, choose_dtype(section.dtype, device), attn_implementation=PACKED)
    except UnsuitedError as reason:
        loaded_whole(f"{WHOLE}: {reason}")
        return None


def train_layers(model: Any, method: MethodSection) -> None:
    """Turn gradients on for the weights that `method.layers` names by a part of their names."""
    names = [name for name, _ in model.named_parameters()]
    wanted = ("",) if method.layers == "all" else method.layers
    for part in wanted:
        if not any(part in name for name in names):
            raise ModelError(
                f"no weight of the model has '{part}' in its name",
                where="method.layers",
                fix=f"write parts of names such as {names[0]}, {names[-1]}",
            )
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(part in name for part in wanted))
