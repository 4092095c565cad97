"""Which modules of a model are its layers: what is gathered, computed and let go of together."""

from __future__ import annotations

from typing import Any

import torch

from tunesmith.errors import ModelError


def decoder_layers(model: Any) -> list[torch.nn.Module]:
    """The modules that transformers says must stay in one piece, in the order of the model. Raises ModelError."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    names = set(getattr(base, "_no_split_modules", None) or ())
    layers = [module for module in base.modules() if type(module).__name__ in names]
    if not layers:
        raise ModelError(
            f"{type(base).__name__} does not say what its layers are",
            where="resources.strategy",
            fix="use ddp, zero1 or zero2 with this model",
        )
    return layers
