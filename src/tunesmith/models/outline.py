"""A base model without its weights: every layer in its place, and for each weight where it is stored.

Where a model is shared out among workers, each reads its own part of a weight once it knows which that is. Until then
a weight has its shape, type and device, and one value of memory: PEFT and bitsandbytes see what they will see later.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tunesmith.models.quiet import quiet_libraries
from tunesmith.models.stored import Stored, stored_weights
from tunesmith.recipe.model import ModelSection

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_SOURCE = "stored_as"
"""Attribute of a parameter that has not been read."""


class UnsuitedError(Exception):
    """Why a model cannot be read tensor by tensor; `load_base` loads it, or says what is wrong with it."""


def outline(
    folder: Path, section: ModelSection, device: torch.device, dtype: torch.dtype, **settings: Any
) -> PreTrainedModel:
    """The model as `load_base` gives it, frozen, in evaluation mode, buffers on `device`; its weights are unread.

    `settings` are for transformers: `attn_implementation`, `quantization_config`. Raises UnsuitedError when the files
    do not hold one tensor for each weight, under its name and in its shape.
    """
    with quiet_libraries(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, to_quantise = _build(folder, section, dtype, settings)
        try:
            stored = stored_weights(folder)
        except Exception as error:  # safetensors has no class of its own for a damaged file
            raise UnsuitedError(f"its files cannot be read: {error}") from error
        _check_names(model, stored)
        _place_weights(model, stored, device, to_quantise)
        _place_buffers(model, stored, device)
    return model.eval().requires_grad_(False)


def unread(model: torch.nn.Module) -> dict[str, Stored]:
    """Where the weights are stored that have not been read, by the names of the model's parameters."""
    return {name: getattr(p, _SOURCE) for name, p in model.named_parameters() if hasattr(p, _SOURCE)}


def stored_buffers(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The buffers that belong into the model's files."""
    return {
        f"{prefix}.{leaf}" if prefix else leaf: buffer
        for prefix, module in model.named_modules()
        for leaf, buffer in module._buffers.items()
        if buffer is not None and leaf not in module._non_persistent_buffers_set
    }


def forget_stand_ins(model: torch.nn.Module) -> None:
    """Put the unread weights on the meta device, as plain parameters; those that are tied stay tied."""
    made: dict[int, torch.nn.Parameter] = {}
    for module in model.modules():
        for leaf, parameter in module._parameters.items():
            if hasattr(parameter, _SOURCE):
                if id(parameter) not in made:
                    values = torch.empty(parameter.shape, dtype=parameter.dtype, device="meta")
                    made[id(parameter)] = torch.nn.Parameter(values, requires_grad=parameter.requires_grad)
                module._parameters[leaf] = made[id(parameter)]


def _build(folder: Path, section: ModelSection, dtype: torch.dtype, settings: dict[str, Any]) -> tuple[Any, bool]:
    """The model with its weights on the meta device and its buffers computed, and whether it is yet to be quantised."""
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.quantizers import AutoHfQuantizer

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=section.trust_remote_code)
        wanted = settings.pop("quantization_config", None)
        own = getattr(config, "quantization_config", None)
        with init_empty_weights(include_buffers=False):
            model = AutoModelForCausalLM.from_config(
                config, dtype=dtype, trust_remote_code=section.trust_remote_code, **settings
            )
        model.tie_weights()
    except Exception as error:
        raise UnsuitedError(str(error)) from error
    if not type(model).__module__.startswith("transformers."):
        raise UnsuitedError("it ships its own code")
    if model._keep_in_fp32_modules or model._keep_in_fp32_modules_strict:
        raise UnsuitedError("some of its layers keep a type of their own")
    if own or wanted:
        quantizer = AutoHfQuantizer.from_config(own or wanted, pre_quantized=bool(own))
        if quantizer.quantization_config.quant_method != "bitsandbytes":
            raise UnsuitedError("its weights are quantised by another library than bitsandbytes")
        quantizer.preprocess_model(model=model, device_map=None)
        model.hf_quantizer = quantizer
        quantizer.postprocess_model(model)
    return model, bool(wanted and not own)


def _check_names(model: Any, stored: dict[str, Stored]) -> None:
    """transformers renames, splits or joins the stored tensors of some architectures."""
    from transformers.conversion_mapping import get_model_conversion_mapping

    for conversion in get_model_conversion_mapping(model):
        for key in stored:
            if conversion.rename_source_key(key)[1] is not None:
                raise UnsuitedError(f"'{key}' is stored in another form than the model's")


def _place_weights(model: Any, stored: dict[str, Stored], device: torch.device, to_quantise: bool) -> None:
    """Give every parameter its stand-in; those that are tied share one, as they share a tensor in the files."""
    places: dict[int, list[tuple[Any, str, str]]] = {}
    for prefix, module in model.named_modules():
        for leaf, parameter in module._parameters.items():
            if parameter is not None:
                places.setdefault(id(parameter), []).append((module, leaf, f"{prefix}.{leaf}" if prefix else leaf))
    for tied in places.values():
        names = [name for *_, name in tied if name in stored]
        if len(names) != 1:
            raise UnsuitedError(f"'{tied[0][2]}' is stored {len(names)} times")
        module, leaf, _ = tied[0]
        made = _stand_in(module, leaf, stored, names[0], device, to_quantise)
        for module, leaf, _ in tied:
            module._parameters[leaf] = made


def _stand_in(
    module: Any, leaf: str, stored: dict[str, Stored], name: str, device: torch.device, to_quantise: bool
) -> torch.nn.Parameter:
    parameter, source = module._parameters[leaf], stored[name]
    packed = type(parameter).__name__ == "Params4bit" and not to_quantise
    if getattr(module, "source_cls", torch.nn.Linear) is not torch.nn.Linear:
        raise UnsuitedError(f"'{name}' is stored transposed")
    if not packed and source.shape != tuple(parameter.shape):
        raise UnsuitedError(f"'{name}' has the shape {source.shape}, not {tuple(parameter.shape)}")
    values = torch.zeros(1, dtype=parameter.dtype, device=device).expand(source.shape)
    if packed:
        made = _packed(module, values, stored, name, device)
    elif type(parameter) is torch.nn.Parameter:
        made = torch.nn.Parameter(values, requires_grad=False)
    elif to_quantise:
        made = parameter
    else:
        raise UnsuitedError(f"'{name}' has 8 bits, which cannot be cut")
    setattr(made, _SOURCE, source)
    return made


def _packed(
    module: Any, values: torch.Tensor, stored: dict[str, Stored], name: str, device: torch.device
) -> torch.nn.Parameter:
    """Packed 4-bit values without their values, and their scales, which every worker needs whole."""
    from bitsandbytes.functional import QuantState
    from bitsandbytes.nn import Params4bit

    scales = {key: one.whole(device) for key, one in stored.items() if key.startswith(f"{name}.")}
    if not scales:
        raise UnsuitedError(f"'{name}' is stored without its scales")
    state = QuantState.from_dict(scales, device=device)
    module.quant_state = state
    module.support_avx512bf16_for_cpu = False
    return Params4bit(
        values,
        quant_state=state,
        blocksize=state.blocksize,
        compress_statistics=state.nested,
        quant_type=state.quant_type,
        quant_storage=values.dtype,
        module=module,
        bnb_quantized=True,
    )


def _place_buffers(model: Any, stored: dict[str, Stored], device: torch.device) -> None:
    """Those that are stored are read; the others have been computed."""
    for prefix, module in model.named_modules():
        for leaf, buffer in module._buffers.items():
            name = f"{prefix}.{leaf}" if prefix else leaf
            if buffer is None:
                continue
            if leaf not in module._non_persistent_buffers_set:
                if name not in stored:
                    raise UnsuitedError(f"'{name}' is not stored")
                module._buffers[leaf] = stored[name].whole(device, buffer.dtype)
            else:
                module._buffers[leaf] = buffer.to(device)
