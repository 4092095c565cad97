"""A run that is evaluated on a node sharing no files with the driver is judged as it is by the driver."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tests.integration.test_run import project  # noqa: F401
from tunesmith.recipe.load import load_recipe
from tunesmith.run.elsewhere import evaluate_elsewhere, is_elsewhere
from tunesmith.run.evaluation import evaluate_run
from tunesmith.store.home import find_home
from tunesmith.train.preflight import Placement
from tunesmith.train.remote.fetch import NODE_FOLDER
from tunesmith.train.run import plan_run, train


@pytest.mark.slow
def test_what_a_node_says_is_what_the_driver_says(
    project: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", str(project / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (project / "template.jinja").write_text((project / "model" / "chat_template.jinja").read_text())
    loaded = load_recipe(
        project / "recipe.yaml", ("train.max_steps=8", f"model.chat_template={project}/template.jinja")
    )
    console, home = Console(stderr=True), find_home()
    planned = plan_run(loaded, home, console)
    here, _ = evaluate_run(planned, train(planned, console, in_process=True), home, console)
    node = project / "node"
    monkeypatch.setenv(NODE_FOLDER, str(node))
    there = evaluate_elsewhere(planned.job, replace(planned.placement, workers=1), here.context)
    assert {path.name.split("-")[0] for path in node.iterdir() if path.is_dir()} == {
        "adapter",
        "base",
        "dataset",
        "examples",
    }
    assert [one.contestant.answers for one in there.contestants] == [one.contestant.answers for one in here.contestants]
    assert there.rows == here.rows and there.comparisons == here.comparisons and there.verdicts == here.verdicts


def test_only_a_driver_without_the_workers_gpu_asks_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert not is_elsewhere(Placement(1, 1, 1))
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert is_elsewhere(Placement(1, 1, 1)) and not is_elsewhere(Placement(1, 1, 0))
