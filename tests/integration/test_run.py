"""The whole way with a tiny model, on a real Ray: train, evaluate, register, again, stopped and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import tiny_models

RECIPE = """\
name: tiny
model: {source: model, dtype: float32}
data:
  train: rows.jsonl
  audit: {fail_on: [malformed]}
  split: {validation: 6, test: 12}
method: {rank: 8, alpha: 16}
train:
  sequence_length: 64
  packing: false
  batch_size: 4
  max_steps: 60
  epochs: 20
  learning_rate: 2.0e-2
  checkpoint_every: 5
evaluate:
  metrics: [exact_match, perplexity]
  prompts: {few_shot: [1]}
  decoding: {max_new_tokens: 12}
  gate: {metric: exact_match}
  resamples: 500
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a model that knows nothing, a recipe, and rows whose answer is always the same."""
    tiny_models.save(tmp_path / "model")
    lines = [
        {"messages": [{"role": "user", "content": f"say {n}"}, {"role": "assistant", "content": "yes"}]}
        for n in range(60)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tunesmith", *arguments]


def environment(project: Path, home: str = "home") -> dict[str, str]:
    return {**os.environ, "TUNESMITH_HOME": str(project / home), "HF_HUB_OFFLINE": "1"}


def tunesmith(project: Path, *arguments: str, home: str = "home") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=project,
        env=environment(project, home),
        capture_output=True,
        text=True,
        timeout=400,
    )


@pytest.mark.slow
def test_a_run_ends_with_a_registered_version_and_is_not_done_twice(project: Path) -> None:
    first = tunesmith(project, "run", "recipe.yaml", "--json")
    assert first.returncode == 0, first.stderr
    outcome = json.loads(first.stdout)
    assert (outcome["version"], outcome["verdict"]) == ("tiny@1", "passed")
    assert outcome["figures"]["contestants"]["fine-tuned"]["exact_match"] == 1.0
    assert outcome["figures"]["contestants"]["base model"]["exact_match"] == 0.0
    assert Path(outcome["report"]).read_text().startswith("<!doctype html>")
    listed = json.loads(tunesmith(project, "registry", "ls", "--json").stdout)
    assert "tiny@1" in json.dumps(listed)

    assert "plan: " in first.stderr
    figures = {one["name"]: (one["expected"], one["actual"]) for one in outcome["planned_and_actual"]}
    assert set(figures) == {"worker_memory", "seconds", "usd"}
    assert all(expected > 0 and actual > 0 for expected, actual in figures.values())
    metrics = json.loads(tunesmith(project, "registry", "show", "tiny@1", "--json").stdout)["metrics"]
    assert metrics["planned_usd"] == figures["usd"][0] and metrics["actual_seconds"] == figures["seconds"][1]
    assert metrics["cost_usd"] > figures["usd"][1]  # the evaluation has its price too

    elsewhere = project / "elsewhere"
    elsewhere.mkdir()
    asked = command("chat", "tiny", "--prompt", "say 3")
    said = subprocess.run(asked, cwd=elsewhere, env=environment(project), capture_output=True, text=True, timeout=200)
    assert said.stdout.strip() == "yes", said.stderr

    again = tunesmith(project, "run", "recipe.yaml", "--json")
    assert json.loads(again.stdout)["version"] == "tiny@1"
    assert "already trained" in again.stderr and "already evaluated" in again.stderr
    assert "training" not in again.stderr.replace("already trained", "")

    other = tunesmith(project, "run", "recipe.yaml", "--json", "--set", "evaluate.decoding.max_new_tokens=8")
    assert "already trained" in other.stderr and "already evaluated" not in other.stderr


@pytest.mark.slow
def test_a_model_of_which_all_weights_were_trained_is_evaluated_and_registered_as_one(project: Path) -> None:
    recipe = RECIPE.replace("method: {rank: 8, alpha: 16}", "method: {type: full}").replace("2.0e-2", "5.0e-3")
    (project / "recipe.yaml").write_text(recipe)
    done = tunesmith(project, "run", "recipe.yaml", "--in-process", "--json")
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["version"], outcome["verdict"]) == ("tiny@1", "passed")
    assert outcome["figures"]["contestants"]["fine-tuned"]["exact_match"] == 1.0
    assert outcome["figures"]["contestants"]["base model"]["exact_match"] == 0.0
    shown = json.loads(tunesmith(project, "registry", "show", "tiny@1", "--json").stdout)
    assert shown["kind"] == "full"
    (artefact,) = project.glob("home/runs/*/model")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in artefact.iterdir()}


@pytest.mark.slow
def test_a_version_that_is_not_better_is_registered_as_failed(project: Path) -> None:
    done = tunesmith(
        project, "run", "recipe.yaml", "--in-process", "--set", "train.max_steps=1", "--set", "train.learning_rate=1e-9"
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    shown = json.loads(tunesmith(project, "registry", "show", "tiny@1", "--json").stdout)
    assert shown["verdict"] == "failed" and shown["reasons"]


@pytest.mark.slow
def test_ctrl_c_leaves_a_checkpoint_and_the_resumed_run_gives_the_same_adapter(project: Path) -> None:
    undisturbed = tunesmith(project, "train", "recipe.yaml", "--in-process", "--json", home="undisturbed")
    assert undisturbed.returncode == 0, undisturbed.stderr
    expected = Path(json.loads(undisturbed.stdout)["adapter"], "adapter_model.safetensors").read_bytes()

    process = subprocess.Popen(
        command("train", "recipe.yaml"),
        cwd=project,
        env=environment(project),
        text=True,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 120
    while not list(project.glob("home/runs/*/checkpoints/step-*")):
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    said = process.stderr.read()
    assert process.wait(60) == 2
    assert "stopped before its end" in said and "Traceback" not in said

    resumed = tunesmith(project, "train", "recipe.yaml", "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert "going on after step" in resumed.stderr
    assert Path(json.loads(resumed.stdout)["adapter"], "adapter_model.safetensors").read_bytes() == expected


@pytest.mark.slow
def test_a_dry_run_trains_nothing(project: Path) -> None:
    done = tunesmith(project, "train", "recipe.yaml", "--dry-run")
    plan = json.loads(done.stdout)
    assert plan["total_steps"] == 60 and plan["parts"]["train"]["examples"] == 42
    assert plan["weights_here"] and plan["parameters"]["trained"] > 0 and plan["each_worker"]["peak_bytes"] > 0
    assert not (project / "home" / "runs").exists()
