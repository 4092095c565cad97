"""A tiny champion, what people said of its answers, and visitors whose requests are written into the tables."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from tests import tiny_models
from tunesmith.experiment.book import Book
from tunesmith.experiment.experiment import CONTROL, Experiment
from tunesmith.monitor.retrain.journal import Journal, Retrain
from tunesmith.monitor.traffic.rows import TrafficRow
from tunesmith.monitor.traffic.write import write_traffic
from tunesmith.store.database import Database
from tunesmith.store.home import Home
from tunesmith.store.tables import feedback, requests

RECIPE = """\
name: tiny
model: {source: model, dtype: float32}
data:
  train: rows.jsonl
  audit: {fail_on: [malformed, leakage]}
  split: {validation: 6, test: 16}
method: {rank: 8, alpha: 16}
train:
  sequence_length: 64
  packing: false
  batch_size: 4
  max_steps: 200
  epochs: 40
  learning_rate: 5.0e-3
  checkpoint_every: 40
evaluate:
  metrics: [exact_match, perplexity]
  prompts: {few_shot: [1]}
  decoding: {max_new_tokens: 6}
  gate: {metric: exact_match}
  resamples: 200
retrain:
  triggers: {volume: {examples: 40}}
  cooldown_days: 0
  max_share_new: 0.9
  test_share: 0.4
  gates: {margin_old: 0.5, margin_general: 1000}
  release: {shadow_requests: 5, steps: [50], step_hours: 0.0002, planned_users: 100}
"""

WORDS = ("red", "blue", "green", "gold", "grey", "pink", "black", "white", "brown", "lime")


def questions(verb: str, number: int, first: int = 0) -> list[str]:
    """Questions no two of which are near-duplicates; of the same kind where the verb is the same."""
    return [f"{verb} {WORDS[n % 10]} {WORDS[n // 10 % 10]} {n}" for n in range(first, first + number)]


def home_of(folder: Path) -> Home:
    """The home of the project."""
    return Home(folder / "home", f"sqlite:///{folder}/home/registry.db", str(folder / "home" / "artifacts"))


def environment(folder: Path) -> dict[str, str]:
    """What a command of the project is started with."""
    places = {"TUNESMITH_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TUNESMITH_")}
    return {**kept, **places}


def make(folder: Path) -> Path:
    """A model that knows nothing, rows whose answer is always yes, and the recipe."""
    tiny_models.save(folder / "model")
    lines = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "yes"}]}
        for text in questions("say", 210)[::3]
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder


def people_said(folder: Path, answers: dict[str, str], tenant: str = "shop", home: Home | None = None) -> None:
    """Requests in the traffic log, and the answers that clients said they should have had; of the project's own home,
    or another."""
    home, now = home or home_of(folder), datetime.now(UTC)
    rows = [
        TrafficRow(
            id=f"{tenant}-{number:04}", at=now - timedelta(minutes=5), name="tiny", model="tiny", version="tiny@1",
            messages=json.dumps([{"role": "user", "content": question}]), answer="yes", tenant=tenant,
            unit=f"u{number}",
        )
        for number, question in enumerate(answers)
    ]  # fmt: skip
    write_traffic(home, rows)
    database = Database.open(home.database_url)
    common = {"tenant": tenant, "at": now}
    with database.writing("test") as connection:
        connection.execute(
            insert(requests), [_request(row.id, row.at, "tiny@1", unit=row.unit, tenant=tenant) for row in rows]
        )
        connection.execute(
            insert(feedback),
            [{"request": row.id, "metric": "correction", "value": None, "text": answer, **common}
             for row, answer in zip(rows, answers.values(), strict=True)],
        )  # fmt: skip
    database.close()


def _request(request: str, at: datetime, version: str, **columns: Any) -> dict[str, Any]:
    values = {
        "id": request, "at": at, "tenant": "shop", "model": "tiny", "version": version, "experiment": None,
        "variant": None, "epoch": None, "unit": None, "role": "live", "status": 200, "first_seconds": 0.1,
        "seconds": 0.2, "pieces": 2, "empty": False, "truncated": False, "invalid": None,
    }  # fmt: skip
    return {**values, **columns}


class Visitors:
    """Users of a running experiment: shadows while it is one, then as many of each variant as its weights say.

    Of ten thumbs for the control four are up, and as many for the challenger until the A/B test; then `likes`.
    """

    def __init__(self, folder: Path, likes: int = 10, home: Home | None = None) -> None:
        self.database, self.likes = Database.open((home or home_of(folder)).database_url), likes
        self.number = 0

    def come(self) -> None:
        """Twenty more of them, if an experiment runs."""
        for experiment in Book(self.database).running():
            rows, said = [], []
            for _ in range(20):
                self.number += 1
                row, thumb = self._visit(experiment, self.number)
                rows.append(row)
                if row["role"] == "live":
                    said.append({"request": row["id"], "metric": "thumb", "tenant": "shop", "at": row["at"],
                                 "value": thumb, "text": None})  # fmt: skip
            with self.database.writing("test") as connection:
                connection.execute(insert(requests), rows)
                if said:
                    connection.execute(insert(feedback), said)

    def _visit(self, experiment: Experiment, number: int) -> tuple[dict[str, Any], float]:
        shadow = experiment.stage == "shadow"
        variant = "challenger" if shadow or number % 2 else CONTROL
        version = experiment.variants[variant].version or ""
        row = _request(
            f"visit-{number}", datetime.now(UTC), version, experiment=experiment.id, variant=variant,
            epoch=experiment.epoch, unit=f"visitor-{number}", role="shadow" if shadow else "live",
        )  # fmt: skip
        liked = self.likes if variant == "challenger" and experiment.stage == "ab" else 4
        return row, float(number // 2 % 10 < liked)


@contextmanager
def visited(folder: Path, likes: int = 10) -> Iterator[None]:
    """Visitors keep coming while the block runs."""
    over, visitors = threading.Event(), Visitors(folder, likes)

    def keep_coming() -> None:
        while not over.wait(0.05):
            visitors.come()

    thread = threading.Thread(target=keep_coming)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def drive(folder: str, *arguments: str) -> None:
    """`tunesmith retrain` in this process."""
    from tunesmith.cli import cli

    os.chdir(folder)
    cli.main(["retrain", "recipe.yaml", "--in-process", *arguments], standalone_mode=False)


def drive_and_die(folder: str, step: str, when: str) -> None:
    """The same, killed when it writes down what a step came to: before the write, or right after it."""
    write = Journal.record

    def record(journal: Journal, before: Retrain, steps: Any, changes: Any) -> Retrain:
        mine = any(one.step == step for one in steps)
        if mine and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        written = write(journal, before, steps, changes)
        if mine:
            os.kill(os.getpid(), signal.SIGKILL)
        return written

    Journal.record = record  # type: ignore[method-assign]
    drive(folder, "--watch")
