"""Base weights of 4 or 8 bits: quantised once by bitsandbytes, kept, and loaded as they are from then on."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import ModelError
from tunesmith.models.quiet import quiet_libraries
from tunesmith.recipe.method import MethodSection
from tunesmith.recipe.model import ModelSection
from tunesmith.store.durable import new_folder, sweep

if TYPE_CHECKING:
    import torch


def quantised_copy(
    folder: Path, section: ModelSection, method: MethodSection, device: torch.device, cache: Path
) -> Path:
    """The folder with the base's linear layers, all but the head, quantised as `method` says.

    It is made at the first call, on `device`, and found at the next. The packed values are stored in the type that is
    computed in, because FSDP and ZeRO cut only tensors of one type. Raises ModelError when bitsandbytes is missing.
    """
    from tunesmith.models.load import choose_dtype

    dtype = choose_dtype(section.dtype, device)
    target = cache / f"{method.quantisation}-{_digest(folder, method, dtype)}"
    if not target.is_dir():
        sweep(cache)
        with new_folder(target) as unfinished:
            _make(folder, section, _config(method, dtype), dtype, device, unfinished)
    return target


def rounded_copy(folder: Path, section: ModelSection, method: MethodSection, cache: Path) -> Path:
    """The folder with the base as its quantised copy computes, in floats again: for tools that read no quantised one.

    Whole, with tokenizer and config, in the type of `section`. It is made at the first call, a weight at a time. Raises
    ModelError when bitsandbytes is missing.
    """
    import torch

    from tunesmith.models.load import choose_dtype

    device = torch.device("cpu")
    dtype = choose_dtype(section.dtype, device)
    target = cache / f"{method.quantisation}-rounded-{_digest(folder, method, dtype)}"
    if not target.is_dir():
        sweep(cache)
        with new_folder(target) as unfinished:
            _round(folder, section, _config(method, dtype), dtype, unfinished)
    return target


def _digest(folder: Path, method: MethodSection, dtype: torch.dtype) -> str:
    files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.glob("*.safetensors"))]
    settings = [method.quantisation, method.double_quantisation, str(dtype)]
    return hashlib.sha256(json.dumps([str(folder.resolve()), files, settings]).encode()).hexdigest()[:16]


def base_folder(folder: Path, section: ModelSection, method: MethodSection, device: torch.device, cache: Path) -> Path:
    """The folder of the base that an adapter of `method` lies beside: its quantised copy, or the base's own."""
    return quantised_copy(folder, section, method, device, cache) if method.type == "qlora" else folder


def _check_widths(model: Any, device: torch.device) -> None:
    """On a CPU, bitsandbytes 0.50.2 unpacks a block of 64 values wrongly where it reaches into the next row."""
    from bitsandbytes.nn import Linear4bit

    for name, module in model.named_modules():
        if device.type == "cpu" and isinstance(module, Linear4bit) and module.in_features % 64:
            raise ModelError(
                f"{name} has rows of {module.in_features} weights, and on a CPU 4 bits need a multiple of 64",
                where="method.quantisation",
                fix="set method.quantisation: int8 or method.type: lora, or train on a GPU",
            )


def _config(method: MethodSection, dtype: torch.dtype) -> Any:
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise ModelError(
            "base weights are quantised by the package bitsandbytes, which is not installed",
            where="method.type",
            fix="pip install 'tunesmith[quant]', or set method.type: lora",
        ) from None
    from transformers import BitsAndBytesConfig

    if method.quantisation == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=method.double_quantisation,
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_quant_storage=dtype,
    )


def _make(
    folder: Path, section: ModelSection, config: Any, dtype: torch.dtype, device: torch.device, target: Path
) -> None:
    """Quantise tensor by tensor where the model is stored so; otherwise it is loaded whole."""
    import torch

    from tunesmith.models.outline import UnsuitedError, outline

    try:
        model = outline(folder, section, torch.device("cpu"), dtype, quantization_config=config)
    except UnsuitedError:
        model = _quantise(folder, section, config, dtype, device)
        _check_widths(model, device)
        model.save_pretrained(target)
        return
    _check_widths(model, device)
    model.config.save_pretrained(target)
    _write(model, dtype, device, target)


def _round(folder: Path, section: ModelSection, config: Any, dtype: torch.dtype, target: Path) -> None:
    import torch

    from tunesmith.models.files import DESCRIPTION, model_files
    from tunesmith.models.outline import UnsuitedError, outline
    from tunesmith.models.stored import INDEX

    device = torch.device("cpu")
    try:
        model = outline(folder, section, device, dtype, quantization_config=config)
        _check_widths(model, device)
        _write(model, dtype, device, target, unpack=True)
    except UnsuitedError:
        model = _quantise(folder, section, config, dtype, device)
        _check_widths(model, device)
        unpacked(model).save_pretrained(target)
    for name in model_files((path.name for path in folder.iterdir() if path.is_file()), DESCRIPTION):
        if name != INDEX:
            shutil.copyfile(folder / name, target / name)


def _write(model: Any, dtype: torch.dtype, device: torch.device, target: Path, unpack: bool = False) -> None:
    """The tensors of an outline, quantised where its layers are, into files of a limited size; with `unpack` in floats
    again."""
    import torch
    from transformers.integrations.bitsandbytes import dequantize_bnb_weight

    from tunesmith.models.outline import stored_buffers, unread
    from tunesmith.models.stored import Shards

    places = unread(model)
    with Shards(target) as shards:
        for name, source in places.items():
            prefix, _, leaf = name.rpartition(".")
            module = model.get_submodule(prefix)
            value = source.whole(torch.device("cpu"), dtype)
            parameter = module._parameters[leaf]
            if type(parameter).__name__ not in ("Params4bit", "Int8Params"):
                shards.put(name, value)
                continue
            settings = {key: one for key, one in parameter.__dict__.items() if not hasattr(one, "fill")}
            module._parameters[leaf] = type(parameter)(value, requires_grad=False, **settings).to(device)
            del value
            if unpack:
                quantised = module._parameters[leaf]
                shards.put(name, dequantize_bnb_weight(quantised, getattr(module, "state", None)).to(dtype))
                module._parameters[leaf] = parameter
                continue
            for key, tensor in module.state_dict(prefix=f"{prefix}.").items():
                if key.removeprefix(f"{prefix}.") not in module._parameters or key == name:
                    shards.put(key, tensor)
            module._parameters[leaf] = parameter
        for name, buffer in stored_buffers(model).items():
            shards.put(name, buffer)


def _quantise(folder: Path, section: ModelSection, config: Any, dtype: torch.dtype, device: torch.device) -> Any:
    from transformers import AutoModelForCausalLM

    with quiet_libraries(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AutoModelForCausalLM.from_pretrained(
            folder,
            quantization_config=config,
            dtype=dtype,
            device_map={"": device},
            trust_remote_code=section.trust_remote_code,
            use_safetensors=True,
        )


def unpacked(model: Any) -> Any:
    """The model with its quantised weights as floats, which keep their rounding, and no mark of it in its config."""
    model = model.dequantize()
    model.hf_quantizer, model.is_quantized, model._weight_conversions = None, False, None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model
