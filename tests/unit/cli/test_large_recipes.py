"""The recipes for large models in jobs/, and the page about them, on a machine that has neither models nor GPUs."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "distributed.md").read_text(encoding="utf-8")
GIB = 1 << 30
COUNTS = {"8b": 8_030_261_248, "70b": 70_553_706_496}
"""Parameters of Llama 3.1, as published with the weights."""

ADAPTERS = {"8b": 41_943_040, "70b": 207_093_760}
"""Rank 16 on all seven linear layers: 16 x (inputs + outputs) of each, over 32 and 80 layers."""

LASTING = {
    "llama-8b-lora": (15.0, 16.5),  # 8.03 x 2 bytes, and the adapter four times
    "llama-8b-qlora": (5.0, 6.5),  # half a byte for 6.98 billion, 2 bytes for the embedding and the head
    "llama-8b-full-zero3": (14.9, 17.0),  # 16 bytes a parameter among eight: 2 + 2 + 4 + 8, and the bucket
    "llama-8b-full-offload": (4.2, 5.5),  # 2 bytes a parameter among four, and the bucket; the rest is in memory
    "llama-70b-qlora-fsdp-4gpu": (9.5, 11.5),  # a quarter of 36.6, the scales whole, and the adapter
    "llama-70b-qlora-fsdp-8gpu": (5.0, 6.5),
    "llama-70b-qlora-fsdp-2nodes": (3.0, 4.0),
    "llama-70b-qlora-zero3-4gpu": (9.5, 13.0),  # and the adapter once more, and a bucket as large as it
    "llama-70b-qlora-zero3-8gpu": (5.0, 8.0),
    "llama-70b-qlora-zero3-2nodes": (3.0, 5.5),
}
"""GiB that lie with each worker, from arithmetic by hand."""


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def dry_run(tunesmith: Run, name: str, *more: str) -> dict[str, Any]:
    done = tunesmith("train", str(ROOT / "jobs" / f"{name}.yaml"), "--dry-run", *more)
    assert "the data is not prepared" in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_large_recipe_is_tested() -> None:
    assert {path.stem for path in (ROOT / "jobs").glob("llama-*.yaml")} == set(LASTING)


@pytest.mark.parametrize("name", LASTING)
def test_a_dry_run_knows_parameters_and_bytes(tunesmith: Run, name: str) -> None:
    size = name.split("-")[1]
    plan = dry_run(tunesmith, name)
    adapter = ADAPTERS[size] if "lora" in name else COUNTS[size]
    assert (plan["parameters"]["base"], plan["parameters"]["trained"]) == (COUNTS[size], adapter)
    assert plan["weights_here"] is False and plan["dataset_version"] is None and len(plan["not_checked"]) == 2
    least, most = LASTING[name]
    each = plan["each_worker"]
    assert least < each["lasting_bytes"] / GIB < most
    assert each["activations"]["with_checkpointing_bytes"] < each["activations"]["without_checkpointing_bytes"]
    (said,) = re.findall(r"of (\d+) GB or more", (ROOT / "jobs" / f"{name}.yaml").read_text())
    assert each["peak_bytes"] < 0.9 * float(said) * 1e9
    assert plan["workers"] == {"4gpu": 4, "8gpu": 8, "2nodes": 16, "zero3": 8, "offload": 4}.get(
        name.rsplit("-", 1)[-1], 1
    )


def test_a_model_without_published_shapes_is_refused(tunesmith: Run) -> None:
    recipe = str(ROOT / "jobs" / "llama-8b-lora.yaml")
    done = tunesmith("train", recipe, "--dry-run", "--set", "model.source=somebody/else", exit_code=2)
    assert "'somebody/else' is not on this machine and the hub cannot be reached" in done.stderr


def test_the_page_shows_what_is_printed(tunesmith: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "jobs", tmp_path / "jobs")
    monkeypatch.setenv("COLUMNS", "80")
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    commands = 0
    for block in blocks:
        for command, output in re.findall(r"^\$ tunesmith (.*)\n((?:[^$].*\n|\n)*)", block, re.MULTILINE):
            printed = tunesmith(*shlex.split(command, comments=True)).stdout
            commands += 1
            wanted = [line.rstrip() for line in output.splitlines() if line.strip()]
            assert not wanted or [line.rstrip() for line in printed.splitlines() if line.strip()] == wanted
    assert commands >= 3
