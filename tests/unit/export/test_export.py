"""`tunesmith export`: what plain transformers loads says what base and adapter say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from tests import tiny_models, tiny_versions
from tunesmith.cli import cli
from tunesmith.errors import TunesmithError
from tunesmith.export import export as module
from tunesmith.models.load import own_dtype
from tunesmith.recipe.method import MethodSection

IDS = torch.arange(2, 26).view(2, 12)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("TUNESMITH_HOME", "TUNESMITH_DATABASE_URL", "TUNESMITH_ARTIFACTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["export", *arguments])


def together(project: Path, **changes: Any) -> torch.Tensor:
    """Logits of base and adapter by PEFT alone."""
    from peft import PeftModel

    with torch.no_grad():
        model = PeftModel.from_pretrained(tiny_models.model(**changes), project / "adapter").eval()
        logits: torch.Tensor = model(input_ids=IDS).logits
        return logits


CASES: dict[str, tuple[MethodSection, dict[str, Any]]] = {
    "lora": (MethodSection(rank=4), {}),
    "rslora": (MethodSection(rank=4, rslora=True), {}),
    "dora": (MethodSection(rank=4, dora=True), {}),
    "qwen2": (MethodSection(rank=4), {"kind": "qwen2"}),
    "tied head": (MethodSection(rank=4, targets=("q_proj", "lm_head")), {"tie_word_embeddings": True}),
    "tied": (MethodSection(rank=4), {"tie_word_embeddings": True}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_merged_folder_says_what_base_and_adapter_say(case: str, project: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    method, changes = CASES[case]
    tiny_versions.register(project, method, **changes)
    result = run("tiny", "--to", "merged", "--json")
    assert result.exit_code == 0, result.exception
    done = json.loads(result.stdout)
    assert (done["reference"], done["dtype"], done["same_next_token"]) == ("tiny@1", "float32", 1.0)
    assert done["largest_difference"] < 1e-3
    model = AutoModelForCausalLM.from_pretrained(project / "merged")
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids=IDS).logits, together(project, **changes), atol=1e-3, rtol=1e-4)
        assert (model(input_ids=IDS).logits - tiny_models.model(**changes)(input_ids=IDS).logits).abs().max() > 0.1
    tokenizer = AutoTokenizer.from_pretrained(project / "merged")
    assert tokenizer.chat_template == tiny_models.TEMPLATE
    assert list(project.glob(".tmp-*")) == []


def test_chat_and_the_exported_folder_give_the_same_answer(project: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tiny_versions.register(project)
    words = ["chat", "tiny", "--prompt", "hello", "--max-new-tokens", "20", "--json"]
    chatted = json.loads(CliRunner().invoke(cli, words).stdout)["text"]
    assert run("tiny", "--to", "merged").exit_code == 0
    model = AutoModelForCausalLM.from_pretrained(project / "merged")
    tokenizer = AutoTokenizer.from_pretrained(project / "merged")
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hello"}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    out = model.generate(**prompt, max_new_tokens=20, do_sample=False)
    assert tokenizer.decode(out[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True) == chatted


def test_the_type_is_that_of_the_base_or_the_one_asked_for(project: Path) -> None:
    from safetensors.torch import load_file

    tiny_versions.register(project)
    assert run("tiny", "--to", "half", "--dtype", "bfloat16").exit_code == 0
    weights = load_file(project / "half" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
    config = json.loads((project / "base" / "config.json").read_text())
    assert own_dtype(project / "base") == config["dtype"] == "float32"
    assert own_dtype(project / "half") == "bfloat16"


def test_the_authors_generation_config_and_the_recipes_template_come_along(project: Path) -> None:
    tiny_models.save(project / "base")
    suggested = '{"eos_token_id": [1, 7], "temperature": 0.7, "do_sample": true}'
    (project / "base" / "generation_config.json").write_text(suggested)
    tiny_versions.adapter(project / "adapter", MethodSection(rank=4), tiny_models.TEMPLATE + "{# mine #}")
    assert run("./adapter", "--to", "merged").exit_code == 0
    assert (project / "merged" / "generation_config.json").read_text() == suggested
    assert (project / "merged" / "chat_template.jinja").read_text().endswith("{# mine #}")


def test_nothing_is_overwritten_or_left_half_done(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_versions.register(project)
    (project / "merged").mkdir()
    result = run("tiny", "--to", "merged")
    assert str(result.exception) == "merged: this is there already\n  fix: name a new folder"
    monkeypatch.setattr(module, "_untie", lambda adapted: adapted.disable_adapter_layers() or _zero(adapted))
    result = run("tiny", "--to", "other")
    assert isinstance(result.exception, TunesmithError)
    assert "the merged model says something else than base and adapter: logits differ by" in str(result.exception)
    assert not (project / "other").exists() and list(project.glob(".tmp-*")) == []


def _zero(adapted: Any) -> None:
    """A merge that loses the adapter."""
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.zero_()
