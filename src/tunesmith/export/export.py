"""Base and adapter merged into one folder of safetensors, checked against what they were apart."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tunesmith.errors import ModelError
from tunesmith.models.load import load_base, load_tokenizer, own_dtype, stop_token_ids
from tunesmith.models.lora import load_adapter
from tunesmith.models.quantise import quantised_copy, unpacked
from tunesmith.models.quiet import quiet_libraries
from tunesmith.store.durable import new_folder

if TYPE_CHECKING:
    from tunesmith.models.tuned import Tuned

GENERATION = "generation_config.json"

TOLERANCE = {"float32": 1e-3, "bfloat16": 0.15, "float16": 0.05}
"""Largest root mean square difference of the logits, as a share of their spread, that rounding explains."""

PROBE = "Merged weights must say what base and adapter say."


@dataclass(frozen=True)
class Exported:
    """What was written: folder, type, bytes of weights; and the check: the largest difference of the logits between the
    folder as reloaded and base plus adapter in float32, and the share of tokens where both would say the same next."""

    folder: str
    reference: str
    dtype: str
    weight_bytes: int
    largest_difference: float
    same_next_token: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def check_target(target: Path) -> None:
    """Refuse a folder that is there already, before anything is loaded."""
    if target.exists() or target.is_symlink():
        raise ModelError("this is there already", where=str(target), fix="name a new folder")


def export(tuned: Tuned, target: Path, start: Path, dtype: str = "auto") -> Exported:
    """Merge in float32, cast, write, reload and compare; `target` appears only when all went well.

    `dtype` is `float32`, `bfloat16` or `auto`, the type of the base's own weights. Needs memory for the weights in
    float32. Raises ModelError when the target exists, or when the reloaded model says something else.
    """
    check_target(target)
    device = torch.device("cpu")
    section = tuned.section.model_copy(update={"dtype": "float32"})
    tokenizer = load_tokenizer(tuned.base.folder, tuned.section, start)
    ids = torch.tensor([tokenizer(PROBE, add_special_tokens=False).input_ids])
    adapted = load_adapter(load_base(tuned.base.folder, section, device), tuned.adapter)
    if tuned.method.type == "qlora":
        # The adapter has learnt beside rounded weights: it is merged into those, as they are when unpacked.
        folder = quantised_copy(tuned.base.folder, section, tuned.method, device, tuned.cache)
        adapted = load_adapter(unpacked(load_base(folder, section, device)), tuned.adapter)
    expected = _logits(adapted, ids)
    _untie(adapted)
    merged = adapted.merge_and_unload()
    name = own_dtype(tuned.base.folder) if dtype == "auto" else dtype
    merged.to(getattr(torch, name))
    try:
        with new_folder(target) as unfinished:
            _write(merged, tokenizer, tuned, unfinished)
            del adapted, merged
            again = _reload(unfinished, name, tuned.section.trust_remote_code)
            difference, same = _compare(again, ids, expected, name)
            size = sum(path.stat().st_size for path in unfinished.glob("*.safetensors"))
    except OSError as error:
        raise ModelError(
            f"the folder cannot be written ({error.strerror or error})",
            where=str(target),
            fix="check the permissions and the space on the disk",
        ) from error
    return Exported(str(target), tuned.name, name, size, difference, same)


def _write(model: Any, tokenizer: Any, tuned: Tuned, folder: Path) -> None:
    from transformers import GenerationConfig

    ends = sorted(stop_token_ids(tokenizer, tuned.base.folder))
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=tokenizer.pad_token_id)
    model.config.name_or_path = tuned.base.source
    with quiet_libraries():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    # As the author wrote it: with suggestions for sampling, which were set aside when the base was loaded.
    if (tuned.base.folder / GENERATION).is_file():
        shutil.copyfile(tuned.base.folder / GENERATION, folder / GENERATION)


def _untie(adapted: Any) -> None:
    """A head with an adapter may no longer share its weights with the embedding, which has none."""
    from peft.tuners.lora.layer import LoraLayer

    model = adapted.get_base_model()
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if isinstance(head, LoraLayer) and head.get_base_layer().weight is embedding.weight:
        layer = head.get_base_layer()
        layer.weight = torch.nn.Parameter(layer.weight.detach().clone(), requires_grad=False)
        model.config.tie_word_embeddings = False


def _reload(folder: Path, dtype: str, trust_remote_code: bool) -> Any:
    """As any tool would, with nothing known of how it was made."""
    from transformers import AutoModelForCausalLM

    with quiet_libraries():
        return AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            attn_implementation="eager",
            trust_remote_code=trust_remote_code,
        ).eval()


def _compare(model: Any, ids: torch.Tensor, expected: torch.Tensor, dtype: str) -> tuple[float, float]:
    found = _logits(model, ids)
    share = float((found - expected).square().mean().sqrt() / (expected.std() + 1e-12))
    if not share <= TOLERANCE[dtype]:
        raise ModelError(
            f"the merged model says something else than base and adapter: logits differ by {share:.1%} of their spread",
            fix="export with --dtype float32; if that differs too, the architecture cannot be merged",
        )
    same = (found.argmax(-1) == expected.argmax(-1)).float().mean()
    return float((found - expected).abs().max()), float(same)


@torch.no_grad()
def _logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits[0].float()
    return logits
