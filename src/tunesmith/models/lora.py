"""LoRA adapters: attach to a frozen base, save as PEFT files, load back."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import ModelError, did_you_mean
from tunesmith.models.quiet import quiet_libraries
from tunesmith.recipe.method import MethodSection
from tunesmith.store.file_system import without_secrets

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
TEMPLATE = "chat_template.jinja"


def attach_lora(model: PreTrainedModel, method: MethodSection, seed: int) -> PeftModel:
    """Wrap the model with a new adapter in float32: A random by `seed`, B zero, so that nothing changes at first.

    Raises ModelError when a target names no linear layer.
    """
    import torch

    with quiet_libraries():
        from peft import LoraConfig, get_peft_model

    targets = method.targets if isinstance(method.targets, str) else list(method.targets)
    if not isinstance(targets, str):
        _check_targets(model, targets)
    config = LoraConfig(
        r=method.rank,
        lora_alpha=method.alpha,
        lora_dropout=method.dropout,
        target_modules=targets,
        use_rslora=method.rslora,
        use_dora=method.dora,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def adapter_state(model: PeftModel, trained: dict[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
    """The adapter's tensors under PEFT's names, on the CPU, sorted.

    They are the model's own, or those of `trained`, which are named as the model's parameters are.
    """
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(model, trained, save_embedding_layers=False)
    return {name: state[name].detach().to("cpu").contiguous() for name in sorted(state)}


def save_adapter(
    model: PeftModel,
    folder: Path,
    base: str,
    chat_template: str | None = None,
    state: dict[str, torch.Tensor] | None = None,
) -> None:
    """Write the two files that PEFT and vLLM load, and the chat template when it is not the base model's own.

    The same adapter gives the same bytes; `base` names the source. `state`, as `adapter_state` gives it, takes the
    place of the model's own tensors.
    """
    write_adapter(adapter_state(model) if state is None else state, adapter_config(model, base), folder)
    if chat_template is not None:
        (folder / TEMPLATE).write_text(chat_template, encoding="utf-8")


def adapter_config(model: PeftModel, base: str) -> dict[str, Any]:
    """The adapter's configuration as PEFT writes it, with lists sorted and without paths of this machine."""
    config = model.peft_config["default"].to_dict()
    config.update(base_model_name_or_path=_without_path(base), inference_mode=True)
    return {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}


def write_adapter(state: dict[str, torch.Tensor], config: dict[str, Any], folder: Path) -> None:
    """Write tensors and configuration of an adapter into an existing folder."""
    from safetensors.torch import save_file

    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    text = json.dumps(config, indent=2, sort_keys=True, default=_plain)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def load_adapter(model: PreTrainedModel, folder: Path) -> PeftModel:
    """Put a saved adapter on the base it was trained for, in evaluation mode and the base's type, as in training.

    Raises ModelError when the files are missing or do not fit this base.
    """
    from safetensors import SafetensorError

    from tunesmith.models.lora_linear import speed_up

    if not (folder / WEIGHTS).is_file() or not (folder / CONFIG).is_file():
        raise ModelError(
            f"there is no adapter in {folder}", fix="name a folder with adapter_config.json and its weights"
        )
    with quiet_libraries(), warnings.catch_warnings():
        from peft import PeftModel

        # What PEFT only warns of, tensors without a place and places without tensors, is refused below.
        warnings.simplefilter("ignore")
        try:
            adapted = PeftModel.from_pretrained(model, folder, is_trainable=False, autocast_adapter_dtype=False)
        except (RuntimeError, ValueError, KeyError, TypeError, OSError, SafetensorError) as error:
            raise _misfit(folder, str(error)) from error
    _check_complete(adapted, folder)
    adapted.eval().requires_grad_(False)
    speed_up(adapted)
    return adapted


def _check_complete(model: PeftModel, folder: Path) -> None:
    """Every tensor of the file has found its place and every place its tensor."""
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    with safe_open(folder / WEIGHTS, framework="pt") as file:
        stored = set(file.keys())
    wanted = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    if stray := sorted(stored - wanted):
        raise _misfit(folder, f"the base has no place for {stray[0]}{_and_more(stray)}")
    if missing := sorted(wanted - stored):
        raise _misfit(folder, f"there is nothing for {missing[0]}{_and_more(missing)}")


def _and_more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _misfit(folder: Path, reason: str) -> ModelError:
    lines = reason.strip().splitlines() or ["no reason given"]
    return ModelError(
        f"the adapter in {folder} does not fit this base model ({lines[0][:300]})",
        fix="load it on the base it was trained on",
    )


def _check_targets(model: PreTrainedModel, targets: list[str]) -> None:
    """PEFT drops a target in silence as long as another one is found."""
    import torch

    linear = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in linear):
            raise ModelError(
                f"the model has no linear layer named '{target}'",
                where="method.targets",
                fix=did_you_mean(target, {name.rsplit(".", 1)[-1] for name in linear}),
            )


def _without_path(source: str) -> str:
    """A local folder or file by its last part, an object-store URL without its keys, anything else as it is."""
    if "://" in source:
        return without_secrets(source)
    local = source.startswith((".", "/", "~")) or source.lower().endswith(".gguf")
    return Path(source).name if local else source


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set | frozenset) else str(value)
