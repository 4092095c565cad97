"""The recipes of jobs/: each can be read and planned, and its head says what its plan says."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes import ROOT
from tunesmith.recipe.load import load_recipe

Run = Callable[..., subprocess.CompletedProcess[str]]

FILES = sorted((ROOT / "jobs").glob("*.yaml"))
PLANNED = re.compile(
    r"# Planned: ([\d.]+) of ([\d.]+) GiB a GPU, ([\d.]+) GiB a machine, ([\d.]+) hours, \$([\d.]+) on (\d+) x (\S+) "
    r"\((\S+)\)\n#   tunesmith (plan .*)\n"
)
TASKS = {
    "classification": "label_f1",
    "summarisation": "rougeL",
    "json-extraction": "json_schema",
    "chat-style": "chrf",
}


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_the_head_says_what_the_plan_says(
    file: Path, tunesmith: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if file.stem == "quickstart":
        assert load_recipe(file).recipe.resources.machine is None  # whatever runs it
        return
    (said,) = PLANNED.findall(file.read_text())
    device, limit, host, hours, dollars, count, machine, market, command = said
    assert shlex.split(command)[1] == f"jobs/{file.name}"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(ROOT)
    # The same without the other machines of the catalog.
    plan: dict[str, Any] = json.loads(tunesmith(*shlex.split(command), "--machine", machine, "--json").stdout)
    written = plan["written"]
    assert written["verdict"] in ("FITS", "TIGHT") and plan["ranked"]
    assert (str(written["count"]), written["machine"], written["market"]) == (count, machine, market)
    for text, value in (
        (device, written["device_bytes"] / 2**30),
        (limit, written["device_limit"] / 2**30),
        (host, written["host_bytes"] / 2**30),
        (hours, written["total_seconds"] / 3600),
    ):
        assert float(text) == pytest.approx(value, abs=0.051)
    assert float(dollars) == pytest.approx(float(written["usd"]), abs=0.0051)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_the_smallest_gpu_named_holds_it(file: Path) -> None:
    text = file.read_text()
    if (found := re.search(r"of (\d+) GB or more", text)) is None:
        assert file.stem == "quickstart"
        return
    (said,) = PLANNED.findall(text)
    assert float(said[0]) * 2**30 < 0.9 * float(found[1]) * 1e9


@pytest.mark.parametrize(("task", "metric"), TASKS.items())
def test_a_task_is_judged_by_a_metric_that_fits_it(task: str, metric: str) -> None:
    recipe = load_recipe(ROOT / "jobs" / f"{task}.yaml").recipe
    assert recipe.evaluate.gate.metric == metric and metric in recipe.evaluate.metrics
    assert (recipe.evaluate.json_schema is not None) == (metric == "json_schema")


def test_what_was_asked_for_is_there() -> None:
    recipes = {file.stem: load_recipe(file).recipe for file in FILES}
    assert set(TASKS) < set(recipes) and recipes["sweep"].sweep is not None
    workers = {name: (recipe.method.type, recipe.resources.most) for name, recipe in recipes.items() if "llama" in name}
    assert set(workers.values()) == {("lora", 1), ("qlora", 1), ("qlora", 4), ("qlora", 8), ("qlora", 16),
                                     ("full", 8), ("full", 4)}  # fmt: skip


def test_every_recipe_is_in_the_table() -> None:
    page = (ROOT / "jobs" / "README.md").read_text()
    listed = re.findall(r"^\| \[([a-z0-9-]+)\]\(\1\.yaml\)", page, re.MULTILINE)
    assert sorted(listed) == [file.stem for file in FILES]
    for file in FILES:
        if found := PLANNED.findall(file.read_text()):
            (row,) = [line for line in page.splitlines() if line.startswith(f"| [{file.stem}](")]
            device, _, _, hours, dollars, count, machine, *_ = found[0]
            assert f"| {count} x {machine} | {device} GiB | {hours} h | ${dollars} |" in row
