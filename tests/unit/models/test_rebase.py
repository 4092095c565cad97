"""Merged weights say what base and adapter said, and others beside them what they said on the base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tiny_models
from tunesmith.errors import ModelError
from tunesmith.models.load import load_base
from tunesmith.models.lora import attach_lora, load_adapter, save_adapter
from tunesmith.models.rebase import merge, rebase
from tunesmith.recipe.method import MethodSection
from tunesmith.recipe.model import ModelSection

CPU = torch.device("cpu")
FLOAT32 = ModelSection(source="tiny", dtype="float32")
IDS = torch.arange(2, 26).view(2, 12)
CHAMPION = MethodSection(rank=4, targets=("q_proj", "down_proj"), rslora=True)
OTHER = MethodSection(rank=2, targets=("q_proj", "v_proj"))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A tiny model's files, its weights in two of them."""
    folder = tmp_path / "base"
    tiny_models.model().save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


def adapter(base: Path, folder: Path, method: MethodSection, seed: int) -> Path:
    made = attach_lora(load_base(base, FLOAT32, CPU).requires_grad_(False), method, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
    folder.mkdir()
    save_adapter(made, folder, "tiny")
    return folder


def logits(base: Path, folder: Path | None = None) -> Any:
    model = load_base(base, FLOAT32, CPU)
    with torch.no_grad():
        return (load_adapter(model, folder) if folder else model)(input_ids=IDS).logits


def test_everyone_says_what_they_said(base: Path, tmp_path: Path) -> None:
    champion = adapter(base, tmp_path / "champion", CHAMPION, 1)
    other = adapter(base, tmp_path / "other", OTHER, 2)
    said = [logits(base, one) for one in (champion, other, None)]
    assert not torch.allclose(said[0], said[1], atol=1e-2) and not torch.allclose(said[0], said[2], atol=1e-2)
    merge(base, champion, tmp_path / "merged")
    rebase(other, champion, tmp_path / "moved")
    rebase(None, champion, tmp_path / "plain")
    for expected, folder in zip(said, (None, tmp_path / "moved", tmp_path / "plain"), strict=True):
        torch.testing.assert_close(logits(tmp_path / "merged", folder), expected, atol=1e-5, rtol=1e-4)
    # Of the sum of the ranks, and scaled by one, as its configuration says.
    config = json.loads((tmp_path / "moved" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (6, 6, False)
    assert config["target_modules"] == ["down_proj", "q_proj", "v_proj"]


def test_what_is_there_is_left_alone(base: Path, tmp_path: Path) -> None:
    champion = adapter(base, tmp_path / "champion", CHAMPION, 1)
    for folder in ("merged", "moved"):
        (tmp_path / folder).mkdir()
    merge(base, champion, tmp_path / "merged")
    rebase(None, champion, tmp_path / "moved")
    assert not list((tmp_path / "merged").iterdir()) and not list((tmp_path / "moved").iterdir())


def test_weights_of_another_shape_or_name_are_refused(base: Path, tmp_path: Path) -> None:
    other = tmp_path / "wide"
    tiny_models.model(num_hidden_layers=3).save_pretrained(other)
    deeper = adapter(other, tmp_path / "deeper", CHAMPION, 1)
    with pytest.raises(ModelError, match=r"no weights called model\.layers\.2\."):
        merge(base, deeper, tmp_path / "merged")
    tiny_models.model(intermediate_size=160).save_pretrained(tmp_path / "other")
    wider = adapter(tmp_path / "other", tmp_path / "wider", CHAMPION, 1)
    with pytest.raises(ModelError, match=r"down_proj\.weight of the base is no matrix that"):
        merge(base, wider, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    with pytest.raises(ModelError, match="cannot be read"):
        rebase(base, deeper, tmp_path / "moved")
