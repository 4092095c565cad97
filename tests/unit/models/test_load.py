"""Tokenizer and weights from a folder, and every way in which they cannot be had."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests import tiny_models
from tunesmith.errors import ModelError
from tunesmith.models.attention import GROUPED, PACKED
from tunesmith.models.load import load_base, load_tokenizer, stop_token_ids
from tunesmith.recipe.model import ModelSection

CPU = torch.device("cpu")
SECTION = ModelSection(source="tiny", dtype="float32")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_models.save(tmp_path / "base")


def test_the_base_is_loaded_frozen_with_the_attention_asked_for(folder: Path) -> None:
    ids = torch.arange(2, 14).unsqueeze(0)
    base = load_base(folder, SECTION, CPU)
    assert (base.config._attn_implementation, base.training, base.dtype) == (GROUPED, False, torch.float32)
    assert not any(parameter.requires_grad for parameter in base.parameters())
    torch.testing.assert_close(base(input_ids=ids).logits, tiny_models.model()(input_ids=ids).logits)
    assert load_base(folder, SECTION, CPU, PACKED).config._attn_implementation == PACKED
    assert load_base(folder, ModelSection(source="tiny", dtype="bfloat16"), CPU).dtype == torch.bfloat16


def test_the_authors_sampling_suggestions_are_set_aside(folder: Path) -> None:
    (folder / "generation_config.json").write_text('{"repetition_penalty": 9.0, "do_sample": true, "top_k": 3}')
    assert load_base(folder, SECTION, CPU).generation_config.repetition_penalty is None


def _drop_a_tensor(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _truncate(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])


def _set(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


BROKEN = {
    "a missing tensor": (
        _drop_a_tensor,
        "the weights of model.layers.1.mlp.up_proj.weight are missing\n  fix: fetch the model again: a part of its "
        "safetensors files is not there, or is of another architecture",
    ),
    "a truncated file": (_truncate, "the base model cannot be loaded ("),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "the base model cannot be loaded ("),
    "an unknown architecture": (_set(model_type="nonesuch"), "the base model cannot be loaded ("),
    "tensors of another shape": (_set(hidden_size=32), "the base model cannot be loaded ("),
    "a damaged config": (
        lambda folder: (folder / "config.json").write_text("{"),
        "the base model cannot be loaded (",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_weights_that_cannot_be_loaded_are_a_sentence(name: str, folder: Path) -> None:
    damage, message = BROKEN[name]
    damage(folder)
    with pytest.raises(ModelError) as caught:
        load_base(folder, SECTION, CPU)
    assert str(caught.value).startswith(f"model.source: {message}")


def test_tokenizers_that_cannot_be_used_are_a_sentence(tmp_path: Path) -> None:
    base = tiny_models.save(tmp_path / "base", template=None)
    with pytest.raises(ModelError) as caught:
        load_tokenizer(base, SECTION, tmp_path)
    assert str(caught.value) == (
        "model.source: the tokenizer of 'tiny' has no chat template\n"
        "  fix: use the instruct version of the model, or give model.chat_template a Jinja file"
    )
    section = ModelSection(source="tiny", chat_template="chat.jinja")
    with pytest.raises(ModelError, match=r"model\.chat_template: the file cannot be read \(.*No such file"):
        load_tokenizer(base, section, tmp_path)
    (tmp_path / "chat.jinja").write_text("{{ messages }}")
    assert load_tokenizer(base, section, tmp_path).chat_template == "{{ messages }}"
    (base / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"model\.source: the tokenizer cannot be loaded \("):
        load_tokenizer(base, SECTION, tmp_path)


def test_all_ends_of_a_turn_are_known(folder: Path) -> None:
    tokenizer = load_tokenizer(folder, SECTION, folder)
    (folder / "generation_config.json").write_text('{"eos_token_id": [1, 7]}')
    assert stop_token_ids(tokenizer, folder) == {1, 7}
    (folder / "generation_config.json").unlink()
    assert stop_token_ids(tokenizer, folder) == {1}


@pytest.mark.slow
def test_nothing_is_printed_while_libraries_are_imported(folder: Path, tmp_path: Path) -> None:
    code = (
        "import torch; from pathlib import Path; from tunesmith.models.load import load_base;"
        "from tunesmith.models.lora import attach_lora; from tunesmith.recipe.method import MethodSection;"
        "from tunesmith.recipe.model import ModelSection;"
        f"base = load_base(Path({str(folder)!r}), ModelSection(source='tiny'), torch.device('cpu'));"
        "attach_lora(base, MethodSection(rank=2), 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
