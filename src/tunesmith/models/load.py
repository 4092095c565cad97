"""Tokenizer and base weights from a resolved folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import ModelError
from tunesmith.models.quiet import quiet_libraries
from tunesmith.recipe.model import ModelSection

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_tokenizer(folder: Path, section: ModelSection, start: Path) -> PreTrainedTokenizerBase:
    """The tokenizer with its chat template, or the recipe's own in its place.

    Raises ModelError when it has no template, or is one of the slow kind that does not report token spans.
    """
    from transformers import AutoTokenizer

    with quiet_libraries():
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=section.trust_remote_code)
        except (OSError, ValueError) as error:
            raise ModelError(
                f"the tokenizer cannot be loaded ({_first_line(error)})",
                where="model.source",
                fix="check that tokenizer.json lies beside the weights",
            ) from error
    if section.chat_template is not None:
        path = Path(section.chat_template)
        path = path if path.is_absolute() else start / path
        try:
            tokenizer.chat_template = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"the file cannot be read ({error})", where="model.chat_template") from None
    if not tokenizer.chat_template:
        raise ModelError(
            f"the tokenizer of '{section.source}' has no chat template",
            where="model.source",
            fix="use the instruct version of the model, or give model.chat_template a Jinja file",
        )
    if not tokenizer.is_fast:
        raise ModelError(
            f"'{section.source}' has a slow tokenizer, which cannot say where a token came from",
            where="model.source",
            fix="save it with its fast version (tokenizer.json)",
        )
    return tokenizer


def load_base(
    folder: Path, section: ModelSection, device: torch.device, attention: str | None = None
) -> PreTrainedModel:
    """The base weights, frozen, in evaluation mode, on `device`.

    `attention` names an implementation known to transformers, by default the one to generate with; training uses
    `models.attention.PACKED`. The author's sampling suggestions are set aside, so that answers are generated as the
    recipe says. Raises ModelError when the architecture is unknown or needs the author's code, when weights are
    missing, and when packed attention does not give what the model's own does.
    """
    from transformers import AutoModelForCausalLM, GenerationConfig

    from tunesmith.models.attention import PACKED, for_generation, register
    from tunesmith.models.probe import check_packed

    register()
    with quiet_libraries():
        config = load_config(folder, section)
        try:
            model, found = AutoModelForCausalLM.from_pretrained(
                folder,
                config=config,
                dtype=choose_dtype(section.dtype, device),
                attn_implementation=attention or for_generation(config, device),
                trust_remote_code=section.trust_remote_code,
                use_safetensors=True,
                output_loading_info=True,
            )
        # RuntimeError: tensors of another shape; Exception: safetensors has no class of its own for a damaged file.
        except Exception as error:
            raise _unloadable("the base model", error) from error
    if missing := sorted(found["missing_keys"]):
        # transformers would fill them with random numbers.
        named = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise ModelError(
            f"the weights of {named} are missing",
            where="model.source",
            fix="fetch the model again: a part of its safetensors files is not there, or is of another architecture",
        )
    model.generation_config = GenerationConfig()
    model.to(device).eval().requires_grad_(False)
    for module in model.modules():
        # bitsandbytes would repack 4-bit weights for the CPU, rounding anew, in the first pass without gradients.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    if attention == PACKED:
        check_packed(model)
    return model


def load_tuned(folder: Path, section: ModelSection, adapter: Path, device: torch.device) -> PeftModel:
    """The base with an adapter on it, to generate with. `disable_adapter()` gives the base back for a while.

    Raises ModelError as `load_base` and `lora.load_adapter` do.
    """
    from tunesmith.models.lora import load_adapter

    return load_adapter(load_base(folder, section, device), adapter)


def load_config(folder: Path, section: ModelSection) -> Any:
    """The config in a model's folder. Raises ModelError when transformers cannot read it."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=section.trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise _unloadable("the base model", error) from error


def _unloadable(what: str, error: Exception) -> ModelError:
    return ModelError(
        f"{what} cannot be loaded ({_first_line(error)})",
        where="model.source",
        fix="check the folder; a model that ships its own code needs model.trust_remote_code: true",
    )


def own_dtype(folder: Path) -> str:
    """The type a model's weights were published in, as its config says; float32 where it says nothing."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    written = config.get("dtype") or config.get("torch_dtype") or (config.get("text_config") or {}).get("dtype")
    return written if written in ("float32", "bfloat16", "float16") else "float32"


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 where the hardware multiplies in it, else float32."""
    import torch

    if wanted == "auto":
        wanted = "bfloat16" if computes_bfloat16(device) else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[wanted]


def computes_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 products run in hardware: CUDA from Ampere on, CPUs with AVX512-BF16 or AMX."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def choose_device() -> torch.device:
    """The GPU this process was given, else the CPU."""
    import torch

    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def stop_token_ids(tokenizer: Any, folder: Path) -> frozenset[int]:
    """Ids at which generation ends: the tokenizer's and those of generation_config.json."""
    import json

    ids = {tokenizer.eos_token_id} - {None}
    path = folder / "generation_config.json"
    if path.is_file():
        listed = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id")
        ids |= set(listed if isinstance(listed, list) else [listed]) - {None}
    return frozenset(ids)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
