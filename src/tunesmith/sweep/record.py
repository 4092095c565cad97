"""What a sweep knows of its trials, kept as one line of JSON an event: a killed sweep goes on from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from tunesmith.errors import TrainError
from tunesmith.store.durable import sync_file, write_whole
from tunesmith.sweep.space import Config

JOURNAL = "trials.jsonl"

Status = Literal["waiting", "whole", "early", "out-of-money", "broken"]
"""Not ended yet; trained to its end; stopped by the scheduler; stopped because the budget was spent; failed."""


@dataclass(frozen=True)
class Report:
    """A validation loss (nats per learnt token) at a step, the dollars until then, the share of all steps done."""

    step: int
    loss: float
    usd: Decimal
    share: float


@dataclass
class Trial:
    """One configuration. `usd` is all it has cost, its last report or not; `starts` how often it was begun."""

    name: str
    config: Config
    run_folder: str
    expected_usd: Decimal
    reports: list[Report] = field(default_factory=list)
    usd: Decimal = Decimal(0)
    starts: int = 0
    status: Status = "waiting"
    problem: str | None = None

    @property
    def best(self) -> Report | None:
        """The report with the lowest loss: that checkpoint is kept."""
        return min(self.reports, key=lambda report: report.loss, default=None)

    def to_json(self) -> dict[str, Any]:
        """The figures, without the single reports."""
        best = self.best
        return {
            "trial": self.name,
            "config": self.config,
            "status": self.status,
            "loss": best.loss if best else None,
            "share": self.reports[-1].share if self.reports else 0.0,
            "usd": str(self.usd),
            "expected_usd": str(self.expected_usd),
            "starts": self.starts,
            "run_folder": self.run_folder,
            **({"problem": self.problem} if self.problem else {}),
        }


class Record:
    """The trials of a sweep by name, in the order they were chosen; every change is on the disk before it counts."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL
        self.trials: dict[str, Trial] = {}
        folder.mkdir(parents=True, exist_ok=True)
        if self.path.is_file():
            self._read()

    def chosen(self, name: str, config: Config, run_folder: str, expected: Decimal) -> Trial:
        """A trial was chosen."""
        self._write("chosen", name, config=config, run_folder=run_folder, expected_usd=str(expected))
        return self.trials[name]

    def started(self, name: str) -> None:
        """It begins, or begins again."""
        self._write("started", name)

    def reported(self, name: str, report: Report) -> None:
        """It has a validation loss."""
        self._write("reported", name, step=report.step, loss=report.loss, usd=str(report.usd), share=report.share)

    def paid(self, name: str, usd: Decimal) -> None:
        """It has cost so much as a whole."""
        self._write("paid", name, usd=str(usd))

    def ended(self, name: str, status: Status, usd: Decimal, problem: str | None = None) -> None:
        """No more will come of it."""
        self._write("ended", name, status=status, usd=str(usd), problem=problem)

    def _write(self, event: str, name: str, **values: Any) -> None:
        line = {"event": event, "trial": name, **values}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            sync_file(file.fileno())
        self._apply(line)

    def _read(self) -> None:
        text = self.path.read_bytes()
        whole, newline, cut = text.rpartition(b"\n")
        if cut:  # the last sweep died in the middle of a line
            write_whole(self.path, whole + newline)
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                self._apply(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise TrainError(
                    f"the sweep's journal cannot be read ({type(error).__name__}: {error})",
                    where=f"{self.path}:{number}",
                    fix="remove the line, or the whole folder to begin anew",
                ) from None

    def _apply(self, line: Mapping[str, Any]) -> None:
        name = line["trial"]
        if line["event"] == "chosen":
            self.trials[name] = Trial(name, line["config"], line["run_folder"], Decimal(line["expected_usd"]))
            return
        trial = self.trials[name]
        if line["event"] == "started":
            trial.starts += 1
            trial.status, trial.problem = "waiting", None
        elif line["event"] == "reported":
            trial.reports = [earlier for earlier in trial.reports if earlier.step < line["step"]]
            trial.reports.append(Report(line["step"], line["loss"], Decimal(line["usd"]), line["share"]))
        elif line["event"] == "ended":
            trial.status, trial.problem = line["status"], line["problem"]
        if "usd" in line:
            trial.usd = max(trial.usd, Decimal(line["usd"]))
