"""A real sweep of a tiny model on Ray Tune: killed and given again, kept within its budget, its winner registered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

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
  max_steps: 300
  epochs: 40
evaluate:
  metrics: [exact_match, perplexity]
  prompts: {few_shot: [1]}
  decoding: {max_new_tokens: 12}
  gate: {metric: exact_match}
  resamples: 500
resources: {cpus_per_worker: 1}
sweep:
  space:
    train.learning_rate: {choice: [2.0e-2, 1.0e-2, 1.0e-6]}
    method.rank: {choice: [4, 8]}
  trials: 6
  max_usd: 10
  searcher: {type: grid}
  scheduler: {type: asha}
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


def start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tunesmith", "sweep", "recipe.yaml", "--json", *arguments]
    environment = {**os.environ, "TUNESMITH_HOME": str(project / "home"), "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def journal(project: Path) -> list[dict[str, Any]]:
    paths = list(project.glob("home/sweeps/*/trials.jsonl"))
    return [json.loads(line) for line in paths[0].read_text().splitlines()] if paths else []


def count(events: list[dict[str, Any]], kind: str) -> Counter[str]:
    return Counter(event["trial"] for event in events if event["event"] == kind)


@pytest.mark.slow
def test_a_killed_sweep_goes_on_and_registers_its_winner(project: Path) -> None:
    price = ("--usd-per-hour", "36")  # a cent a second
    first = start(project, *price)
    deadline = time.monotonic() + 200
    while count(journal(project), "reported").total() < 8 or journal(project)[-1]["event"] != "reported":
        assert first.poll() is None, first.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    before = journal(project)
    struck = before[-1]["trial"]

    again = start(project, *price)
    out, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    done = json.loads(out)
    after = journal(project)
    assert after[: len(before)] == before
    starts, stops = count(after, "started"), count(after, "ended")
    assert len(starts) == 6
    # Every start was followed by an end, but for the one that the blow cut short: that trial was begun again.
    cut_short = {struck} if before[-1]["event"] in ("started", "reported") else set()
    assert {name for name in starts if starts[name] == stops[name] + 1} == cut_short
    assert {name for name in starts if starts[name] != stops[name]} == cut_short

    # What was reported before the blow is not trained again, but for one report at most.
    for name in starts:
        steps = [event["step"] for event in after if event["event"] == "reported" and event["trial"] == name]
        assert steps == sorted(steps) and len(steps) - len(set(steps)) <= (name == struck)

    statuses = {trial["config"]["train.learning_rate"]: trial["status"] for trial in done["trials"]}
    assert statuses[1e-6] == "early"
    assert done["front"][-1] == min(done["trials"], key=lambda trial: trial["loss"])["trial"]
    losses = [trial["loss"] for trial in done["trials"] if trial["status"] == "whole"]
    assert done["winner"]["loss"] == min(losses)
    assert Decimal(done["spent_usd"]) == sum(Decimal(trial["usd"]) for trial in done["trials"])
    assert (done["run"]["version"], done["run"]["verdict"]) == ("tiny@1", "passed")
    assert Path(done["recipe"]).read_text().startswith("# The best of 6 trials")


@pytest.mark.slow
def test_a_sweep_ends_with_its_money(project: Path) -> None:
    process = start(
        project, "--usd-per-hour", "36", "--no-register", "--set", "sweep.max_usd=0.25",
        "--set", "sweep.scheduler.type=none", "--set", "train.eval_every=10",
    )  # fmt: skip
    _, err = process.communicate(timeout=300)
    events = journal(project)
    spent = {event["trial"]: Decimal(event["usd"]) for event in events if "usd" in event}
    assert spent, err
    intervals = [
        Decimal(later["usd"]) - Decimal(earlier["usd"])
        for earlier, later in pairwise(events)
        if earlier["event"] == later["event"] == "reported"
    ]
    assert sum(spent.values()) <= Decimal("0.25") + 2 * max(intervals)


@pytest.mark.cluster
@pytest.mark.slow
def test_stopped_trials_of_two_workers_free_the_machine(project: Path) -> None:
    """Killing a nested run of Ray Train where Ray has no dashboard leaves its placement group held, and the next hangs.

    Trials are told to end instead. There is room for one of them at a time: all come to their turn, some of them twice.
    """
    workers = (
        "--set",
        "resources={workers: 2, cpus_per_worker: 1}",
        "--set",
        "train.max_steps=900",
        "--set",
        "train.epochs=90",
    )
    process = start(project, "--no-register", *workers, "--set", "sweep.trials=4")
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    done = json.loads(out)
    assert len(done["trials"]) == 4
    # The first two rest, having nobody to be better than, and the machine is free for the others.
    stops = Counter(event["status"] for event in journal(project) if event["event"] == "ended")
    assert stops["early"] >= 2 and stops["whole"] >= 1, stops
    assert Path(done["page"]).read_text().count("trial-00") > 4
