"""A process that trains one trial after the other, and keeps the base model between them."""

from __future__ import annotations

import json
import queue
import threading
import time
from typing import Any

from ray import tune

from tunesmith.errors import TunesmithError
from tunesmith.models.held import HeldBase
from tunesmith.train import attempts
from tunesmith.train.job import STOP, TrainJob, read_result
from tunesmith.train.sinks import METRICS, read_events

PATIENCE = 0.2
"""Seconds after which a trial that is to end is told so again: workers that only now start take the wish back."""


class TrialProcess(tune.Trainable):
    """Trains in a thread; `step` gives its next validation loss. A trial of one worker waits there for the decision.

    The run's folder is its checkpoint store, so Tune keeps none: a trial begun again goes on from what lies there.
    """

    def setup(self, config: dict[str, Any]) -> None:
        self.held = HeldBase()
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial. The one before has ended, or is stopped now."""
        self._end()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train to the next validation loss, or to the end."""
        if self.given:
            self.may_go_on.release()
        told = self.told.get()
        self.given += 1
        if isinstance(told, TunesmithError):
            return {"problem": str(told), "done": True}
        if isinstance(told, BaseException):
            raise told
        return {"load_seconds": self.load_seconds, **told}

    def cleanup(self) -> None:
        self._end()

    def _begin(self, config: dict[str, Any]) -> None:
        self.job, self.workers = TrainJob(**config["job"]), config["workers"]
        self.cpus, self.gpus = config["cpus"], config["gpus"]
        self.began, self.load_seconds = time.perf_counter(), 0.0
        self.ending, self.given = False, 0
        self.told: queue.Queue[Any] = queue.Queue()
        self.may_go_on = threading.Semaphore(0)
        self.job.folder.mkdir(parents=True, exist_ok=True)
        (self.job.folder / STOP).unlink(missing_ok=True)
        path = self.job.folder / METRICS
        self.offset = path.stat().st_size if path.is_file() else 0
        self.total_steps = 0
        self.thread = threading.Thread(target=self._train, daemon=True)
        self.thread.start()

    def _end(self) -> None:
        self.ending = True
        self.may_go_on.release()
        while self.thread.is_alive():
            (self.job.folder / STOP).touch()
            self.thread.join(PATIENCE)
        (self.job.folder / STOP).unlink(missing_ok=True)

    def _train(self) -> None:
        try:
            if read_result(self.job.folder) is None:
                (self._on_ray if self.workers > 1 else self._here)()
            self._look()
            result = read_result(self.job.folder)
            self.told.put({"whole": result is not None, "last": self._last(), "done": True})
        except BaseException as error:
            self.told.put(error)

    def _here(self) -> None:
        from tunesmith.train.loop import Loop

        attempts.forget_count(self.job.folder)
        loop = Loop(self.job, drained=self._wait, held=self.held)
        self.load_seconds = time.perf_counter() - self.began
        loop.run()

    def _on_ray(self) -> None:
        from tunesmith.train.driver import run_on_ray

        run_on_ray(self.job, self.job.load_recipe().resources, self.cpus, self.gpus, self._look)

    def _wait(self) -> bool:
        """Asked before each step: stand still after a validation loss until the next one is wanted."""
        if self._look() and not self.ending:
            self.may_go_on.acquire()
        return False

    def _look(self) -> bool:
        """Pass on the validation losses written since the last look; whether there were any."""
        path = self.job.folder / METRICS
        if not path.is_file():
            return False
        with path.open("rb") as file:
            file.seek(self.offset)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self.offset += len(whole)
        found = False
        for line in whole.splitlines():
            try:
                event = json.loads(line)
            except ValueError:  # a killed worker left it cut short
                continue
            self.total_steps = event.get("total_steps", self.total_steps)
            if event["event"] == "evaluation":
                found = True
                self.told.put(self._report(event))
        return found

    def _report(self, event: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": event["step"],
            "loss": event["validation_loss"],
            "share": event["step"] / self.total_steps if self.total_steps else 0.0,
        }

    def _last(self) -> dict[str, Any] | None:
        """The run's last validation loss, also where an earlier process wrote it."""
        events = read_events(self.job.folder)
        totals = [event["total_steps"] for event in events if event["event"] == "start"]
        self.total_steps = totals[-1] if totals else 0
        evaluations = [event for event in events if event["event"] == "evaluation"]
        return self._report(evaluations[-1]) if evaluations else None
