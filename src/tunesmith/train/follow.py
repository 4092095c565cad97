"""The live line of a run: step, loss, tokens per second, time left; read from the run's events."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from decimal import Decimal
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tunesmith.plan.money import usd
from tunesmith.train.job import STOP, TrainJob
from tunesmith.train.sinks import METRICS

STOPPING = 1.0
"""Seconds that an orderly end takes besides its steps and its checkpoint."""

EVERY_SECONDS = 10.0
"""Where no bar can be shown, a line as often as this."""


class Follower:
    """Shows a run while it goes on. Call `look` from time to time; a terminal sees a bar, a log a line an event.

    `reserve` are the seconds that an end with a checkpoint would take from now on.
    """

    def __init__(self, job: TrainJob, console: Console) -> None:
        self.job, self.console = job, console
        self.offset = 0
        self.rest = b""
        self.asked = False
        self.reserve = STOPPING
        self._longest_step = self._checkpoint = 0.0
        self._total, self._said = 0, time.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}"),
        )
        self.bar = Progress(
            *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
        )
        self.task = self.bar.add_task("starting workers", total=None, said="")
        self.told: dict[str, Callable[[dict[str, Any]], None]] = {
            "start": self._start, "step": self._step, "evaluation": self._evaluation, "warning": self._warning,
            "checkpoint": self._written,
        }  # fmt: skip

    def __enter__(self) -> Follower:
        path = self.job.folder / METRICS
        self.offset = path.stat().st_size if path.is_file() else 0
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.look()
        self.bar.stop()

    def look(self) -> None:
        """Show what has been written since the last look."""
        path = self.job.folder / METRICS
        if not self.asked and (self.job.folder / STOP).exists():
            self.asked = True
            self.say("stopping at the next step with a checkpoint; Ctrl-C again leaves at once")
        if not path.is_file():
            return
        with path.open("rb") as file:
            file.seek(self.offset)
            content = file.read()
        self.offset += len(content)
        *lines, self.rest = (self.rest + content).split(b"\n")
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a killed worker left it cut short
            if event.get("event") in self.told:
                self.told[event["event"]](event)

    def _start(self, event: dict[str, Any]) -> None:
        total = event["total_steps"]
        self._total = total
        self.bar.update(self.task, description="training", total=total, completed=event["step"], said="")
        share = event["trained_parameters"] / event["all_parameters"]
        resumed = f", going on after step {event['step']}" if event["step"] else ""
        self.console.print(
            f"training {event['trained_parameters']:,} of {event['all_parameters']:,} parameters ({share:.1%}) on "
            f"{event['world_size']} worker(s), {event['device']}, {event['dtype']}: {total} steps{resumed}",
            soft_wrap=True,
        )

    def _step(self, event: dict[str, Any]) -> None:
        said = f"loss {event['train_loss']:.3f}  {event['tokens_per_second']:,.0f} tokens/s"
        if "cost_usd" in event:
            said += f"  {usd(Decimal(str(event['cost_usd'])))}"
        self.bar.update(self.task, completed=event["step"], said=said)
        if not self.console.is_terminal and time.monotonic() - self._said >= EVERY_SECONDS:
            self._said = time.monotonic()
            self.say(f"step {event['step']} of {self._total}: {said}")
        self._longest_step = max(self._longest_step, event["seconds"])
        self._leave_room()

    def _written(self, event: dict[str, Any]) -> None:
        self._checkpoint = max(self._checkpoint, event["seconds"] + event["stalled"])
        self._leave_room()

    def _leave_room(self) -> None:
        """Two steps, one of which is under way, and a checkpoint, as long as the longest so far, and the end itself."""
        self.reserve = 2 * self._longest_step + self._checkpoint + STOPPING

    def _evaluation(self, event: dict[str, Any]) -> None:
        self.console.print(f"step {event['step']}: validation loss {event['validation_loss']:.4f}")

    def say(self, text: str) -> None:
        """Show a line beside the bar."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _warning(self, event: dict[str, Any]) -> None:
        self.console.print(f"warning: {event['text']}", markup=False)
