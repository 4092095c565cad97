"""Room on disk and in memory, and architectures, before anything is spent."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests import tiny_models
from tunesmith.errors import ModelError, TrainError
from tunesmith.recipe.schema import Recipe
from tunesmith.store.home import Home
from tunesmith.train.preflight import Placement, check_architecture, check_room, slow_type


def recipe(method: dict[str, Any], **train: Any) -> Recipe:
    return Recipe.model_validate(
        {"name": "x", "model": {"source": "m"}, "data": {"train": "rows.jsonl"}, "method": method, "train": train}
    )


@pytest.mark.parametrize(
    ("method", "megabytes", "fits"),
    [({"rank": 4}, 1, True), ({"type": "full"}, 1, False), ({"type": "full"}, 6, True)],
)
def test_checkpoints_of_all_weights_need_more_room_than_an_adapters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: dict[str, Any], megabytes: int, fits: bool
) -> None:
    base = tiny_models.save(tmp_path / "base")  # 95,320 weights: 4.6 MB in four checkpoints
    free = shutil.disk_usage(tmp_path)._replace(free=megabytes * 1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    if fits:
        check_room(recipe(method), base, Home(tmp_path, "", ""), Placement(1, 1, 0))
        return
    with pytest.raises(TrainError) as caught:
        check_room(recipe(method), base, Home(tmp_path, "", ""), Placement(1, 1, 0))
    assert caught.value.what == "checkpoints need about 0.0 GiB, the disk has 0.0 GiB left"
    assert caught.value.where == str(tmp_path)


def test_a_loss_in_chunks_is_refused_by_the_config_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "granite"}')
    check_architecture(tmp_path, recipe({"rank": 4}))
    with pytest.raises(ModelError, match="granite is not among llama, ") as caught:
        check_architecture(tmp_path, recipe({"rank": 4}, chunked_loss=True))
    assert caught.value.where == "train.chunked_loss"


@pytest.mark.parametrize("has_it", [True, False])
def test_a_type_that_the_processor_only_emulates_is_told_of(monkeypatch: pytest.MonkeyPatch, has_it: bool) -> None:
    monkeypatch.setattr("tunesmith.models.load.computes_bfloat16", lambda device: has_it)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    cpu, gpu = Placement(1, 2, 0), Placement(1, 2, 1)
    wanted = recipe({"rank": 4}, precision="bfloat16")
    assert (slow_type(wanted, cpu) is None) is has_it
    assert slow_type(wanted, gpu) is None
    assert slow_type(recipe({"rank": 4}), cpu) is None
    if not has_it:
        assert "train.precision: this processor has no bfloat16" in str(slow_type(wanted, cpu))
