"""A model by its config alone: every tensor with its shape and type, none with values or memory (torch's meta device).

So 70 billion parameters are laid out in a second on a laptop, with the adapter that PEFT would put beside them and in
the sizes that bitsandbytes would pack them into.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from tunesmith.errors import ModelError
from tunesmith.models.attention import register
from tunesmith.models.lora import attach_lora
from tunesmith.models.published import PUBLISHED
from tunesmith.models.quiet import quiet_libraries
from tunesmith.models.short_names import SHORT_NAMES
from tunesmith.models.trainable import train_layers
from tunesmith.recipe.method import MethodSection
from tunesmith.recipe.model import ModelSection

BLOCK, SCALES_BLOCK, LEVELS = 64, 256, 16
"""bitsandbytes 0.50.2: weights that share a scale, scales that share a scale, and values that 4 bits can name."""


@dataclass(frozen=True)
class Weight:
    """A parameter as training keeps it.

    `shape` is the layer's own; `stored` what lies in memory, which is packed where the weight is `quantised`; `scales`
    are the bytes of the quantisation's own tensors, which no strategy cuts.
    """

    name: str
    shape: tuple[int, ...]
    stored: tuple[int, ...]
    dtype: torch.dtype
    trained: bool
    quantised: bool = False
    scales: int = 0

    @property
    def values(self) -> int:
        """How many numbers the layer has."""
        return prod(self.shape)

    @property
    def stored_values(self) -> int:
        """How many elements lie in memory."""
        return prod(self.stored)

    @property
    def bytes(self) -> int:
        """Bytes in memory, without the scales."""
        return self.stored_values * self.dtype.itemsize


def published_config(section: ModelSection) -> Any | None:
    """The config of a well-known model from our own table, or None for any other."""
    from transformers import AutoConfig

    short = SHORT_NAMES.get(section.source.lower())
    wanted = (short.hub if short else section.source).lower()
    for name, published in PUBLISHED.items():
        if name.lower() == wanted:
            return AutoConfig.for_model(**published.config)
    return None


def build(config: Any, section: ModelSection, method: MethodSection, dtype: torch.dtype) -> Any:
    """The model on the meta device in the type to compute in, with its adapter or with gradients on for its layers.

    Quantised layers are plain linear ones here: autograd keeps as much for them. Raises ModelError where `load_base`,
    `attach_lora` or `train_layers` would.
    """
    from transformers import AutoModelForCausalLM

    register()
    with quiet_libraries(), torch.device("meta"):
        try:
            model = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=section.trust_remote_code)
        except (ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
            raise ModelError(
                f"a model cannot be made of the config ({(str(error).strip().splitlines() or [repr(error)])[0][:200]})",
                where="model.source",
                fix="use a causal language model that transformers knows",
            ) from error
    model.eval().requires_grad_(False)
    if not method.has_adapter:
        train_layers(model, method)
        return model
    return attach_lora(model, method, 0)


def weights_of(model: Any, method: MethodSection, dtype: torch.dtype) -> list[Weight]:
    """Every parameter of a model that `build` made, as `models.trainable.load_trainable` leaves it.

    `dtype` is the type to compute in. What is trained is float32, frozen weights of `full` too.
    """
    packed = {id(layer.weight) for layer in quantised_layers(model)} if method.type == "qlora" else set()
    weights = []
    for name, parameter in model.named_parameters():
        shape, trained = tuple(parameter.shape), parameter.requires_grad
        if id(parameter) in packed:
            weights.append(_packed(name, shape, method, dtype))
        else:
            kept = torch.float32 if trained or not method.has_adapter else dtype
            weights.append(Weight(name, shape, shape, kept, trained))
    return weights


def quantised_layers(model: Any) -> list[torch.nn.Module]:
    """The layers that transformers hands to bitsandbytes: linear ones, but not the head or a tied one."""
    from transformers.quantizers.base import get_keys_to_not_convert

    base = model.get_base_model()
    kept = set(get_keys_to_not_convert(base))
    # Where PEFT has put a layer around a linear one, that one is called base_layer.
    linear = {
        name.removesuffix(".base_layer"): module
        for name, module in base.named_modules()
        if isinstance(module, torch.nn.Linear) and ".lora_" not in name
    }
    return [module for name, module in linear.items() if name not in kept]


def _packed(name: str, shape: tuple[int, ...], method: MethodSection, dtype: torch.dtype) -> Weight:
    """Sizes of `bitsandbytes.nn.Linear4bit` and `Linear8bitLt`, version 0.50.2, from their quantize functions.

    NF4: two weights a byte, in one column of the type to compute in; a scale for each block of 64, in float32, or in
    8 bits with a float32 scale for each 256 of them, their own 256 levels and their mean; the 16 levels. int8: a
    float32 scale for each row.
    """
    values = prod(shape)
    if method.quantisation == "int8":
        return Weight(name, shape, shape, torch.int8, False, True, shape[0] * 4)
    blocks = -(-values // BLOCK)
    scales = blocks + 4 * -(-blocks // SCALES_BLOCK) + 4 * 256 + 4 if method.double_quantisation else 4 * blocks
    packed = -(-values // 2)
    return Weight(name, shape, (-(-packed // dtype.itemsize), 1), dtype, False, True, scales + 4 * LEVELS)
