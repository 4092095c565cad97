"""From a base model's folder to a model of which some weights are trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tunesmith.errors import ModelError
from tunesmith.models.attention import PACKED, register
from tunesmith.models.load import choose_dtype, load_base
from tunesmith.models.lora import attach_lora
from tunesmith.models.quantise import quantised_copy
from tunesmith.recipe.method import MethodSection
from tunesmith.recipe.model import ModelSection


def load_trainable(
    folder: Path, section: ModelSection, method: MethodSection, device: torch.device, seed: int, cache: Path
) -> tuple[Any, torch.dtype]:
    """The base model, or a PEFT model around it, with gradients on for what `method` trains; the type to compute in.

    Adapters are in float32 beside frozen weights in the type to compute in. Weights that are trained themselves are in
    float32 whatever is computed in, so that small steps are not rounded away. Raises ModelError when `method` names
    layers that the model does not have.
    """
    register()
    dtype = choose_dtype(section.dtype, device)
    if method.has_adapter:
        if method.type == "qlora":
            folder = quantised_copy(folder, section, method, device, cache)
        return attach_lora(load_base(folder, section, device, PACKED), method, seed), dtype
    model = load_base(folder, section.model_copy(update={"dtype": "float32"}), device, PACKED)
    train_layers(model, method)
    return model, dtype


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
