"""A retrain whose driver is killed at every stage in turn, on a tiny model: it goes on where it was, promotes once, and
nothing that has not passed every gate is ever served."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from tests.integration import retrain_project as project
from tests.ready import ready_processes, with_environment
from tunesmith.experiment.book import Book
from tunesmith.monitor.retrain.drive import STEPS
from tunesmith.monitor.retrain.journal import Journal
from tunesmith.monitor.retrain.work import FINISH, champion_of
from tunesmith.registry.registry import Registry
from tunesmith.store.database import Database

STAGES = ("shadow", "canary", "ab", "promote")
KILLED_AT = [*(step for step in STEPS if step != "release"), *STAGES, FINISH]
"""Every step of the journal; the release is written down by its stages."""


@dataclass
class Guard:
    """Looks on all the while: what the alias points at, and whom experiments hold."""

    folder: Path
    broken: list[str] = field(default_factory=list)
    looks: int = 0

    def __enter__(self) -> Guard:
        home = project.home_of(self.folder)
        self.registry, self.book = Registry.open(home), Book(Database.open(home.database_url))
        self.over = Event()
        self.thread = Thread(target=self._keep_looking)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _keep_looking(self) -> None:
        while not self.over.wait(0.05):
            verdicts = {one.reference: one.verdict for one in self.registry.versions("tiny")}
            champion = champion_of(self.registry, "tiny")
            held = [one.version for experiment in self.book.running() for one in experiment.variants.values()]
            self.looks += 1
            self.broken += [str(one) for one in (champion, *held) if one and verdicts.get(one) != "passed"]


def tunesmith(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tunesmith", *arguments], cwd=folder, env=project.environment(folder),
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def with_champion(folder: Path) -> Path:
    project.make(folder)
    done = tunesmith(folder, "run", "recipe.yaml", "--in-process", "--json")
    assert json.loads(done.stdout)["verdict"] == "passed", done.stderr
    return folder


def driven(folder: Path, step: str, when: str) -> int | None:
    """A driver that is killed there; its exit code."""
    process = ready_processes().Process(
        target=with_environment,
        args=(project.environment(folder), project.drive_and_die, str(folder), step, when),
    )
    process.start()
    process.join(120)
    if process.is_alive():
        process.kill()
        process.join()
        pytest.fail(f"the driver did not come to {step}")
    return process.exitcode


@pytest.mark.cluster
def test_a_driver_killed_at_every_stage_goes_on_and_promotes_once(tmp_path: Path) -> None:
    folder = with_champion(tmp_path)
    project.people_said(folder, dict.fromkeys(project.questions("ask", 70), "no"))
    killed: list[tuple[str, str]] = []
    with Guard(folder) as guard, project.visited(folder):
        for step in KILLED_AT:
            for when in ("before", "after"):
                assert driven(folder, step, when) == -9, (step, when)
                killed.append((step, when))
    home = project.home_of(folder)
    journal, registry = Journal(Database.open(home.database_url)), Registry.open(home)
    retrain = journal.find("tiny")
    assert (retrain.number, retrain.running, retrain.state["end"]) == (1, False, "promoted")
    steps = [one.step for one in journal.steps("tiny", 1)]
    assert len(killed) == 2 * len(KILLED_AT) and set(KILLED_AT) <= set(steps)
    assert all(steps.count(step) == 1 for step in KILLED_AT), steps
    assert champion_of(registry, "tiny") == "tiny@2" and len(registry.versions("tiny")) == 2
    assert [move.to_number for move in registry.history("tiny", "champion")] == [1, 2]
    assert len(Book(Database.open(home.database_url)).every()) == 1
    assert guard.looks > 100 and guard.broken == []


@pytest.mark.slow
def test_lies_about_what_was_known_end_at_a_gate_that_says_so(tmp_path: Path) -> None:
    folder = with_champion(tmp_path)
    # Questions between those of the training data, with answers that contradict it.
    lies = [text for number, text in enumerate(project.questions("say", 210)) if number % 3]
    project.people_said(folder, dict.fromkeys(lies, "no"))
    with Guard(folder) as guard:
        done = tunesmith(folder, "retrain", "recipe.yaml", "--in-process", "--set", "retrain.gates.margin_old=0.1")
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    shown: Any = json.loads(tunesmith(folder, "retrain", "show", "tiny", "--json").stdout)
    verdicts = {one["step"]: one["verdict"] for one in shown["steps"]}
    assert verdicts["old-rows"] == "fail" and shown["end"] == "stopped" and "old-rows" in shown["because"]
    assert shown["champion_after"] == "tiny@1" and guard.broken == []
    listed: Any = json.loads(tunesmith(folder, "registry", "show", "tiny@2", "--json").stdout)
    assert listed["verdict"] == "failed" and any(reason.startswith("old-rows") for reason in listed["reasons"])
    page = folder / "trail.html"
    assert tunesmith(folder, "retrain", "show", "tiny", "1", "--html", str(page)).returncode == 0
    assert "old-rows" in page.read_text()

    quiet = tunesmith(folder, "retrain", "recipe.yaml", "--dry-run", "--json")
    assert json.loads(quiet.stdout)["start"] is False  # the same words do not start another one
    began = time.monotonic()
    assert tunesmith(folder, "retrain", "ls", "tiny").stdout.startswith("tiny retrain 1 (")
    assert time.monotonic() - began < 20
