"""A run seen from outside: what it tells with the moment it was told, and whether its newest checkpoint can be read."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tunesmith.errors import TrainError
from tunesmith.train import checkpoint
from tunesmith.train.job import CHECKPOINTS
from tunesmith.train.places import open_place
from tunesmith.train.sinks import METRICS

FOLLOW_SECONDS, READ_SECONDS = 0.02, 0.1


@dataclass(frozen=True)
class Told:
    """An event of a run and when it was seen, by `time.monotonic`."""

    at: float
    event: dict[str, Any]

    @property
    def kind(self) -> str:
        """`start`, `step`, `evaluation`, `warning` or `end`."""
        return str(self.event["event"])

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return int(self.event.get("step", 0))


class Watch:
    """Two threads over the one run of a home folder: one follows its events, one opens its newest checkpoint."""

    def __init__(self, home: Path) -> None:
        self.runs = home / "runs"
        self.told: list[Told] = []
        self.reads = 0
        self.unreadable: list[str] = []
        self.offset = 0
        self.done = threading.Event()
        looks = ((self._follow, FOLLOW_SECONDS), (self._read, READ_SECONDS))
        self.threads = [threading.Thread(target=self._loop, args=look) for look in looks]

    def __enter__(self) -> Watch:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join()
        self._follow()

    @property
    def run(self) -> Path | None:
        """The run's folder, once there is one."""
        return next((path for path in self.runs.glob("*") if path.is_dir()), None)

    @property
    def furthest(self) -> int:
        """The highest step that was done, also if its work was lost."""
        return max((told.step for told in self.told if told.kind == "step"), default=0)

    def back_since(self, moment: float) -> bool:
        """Whether the run has started again after a moment and done a step."""
        return any(step.at > moment for _, _, step in self.starts())

    def starts(self) -> Iterator[tuple[Told, int, Told]]:
        """Every start that led to a step, the furthest step told before it, and that first step."""
        furthest, start = 0, None
        for told in list(self.told):
            if told.kind == "start":
                start = told
            if told.kind == "step":
                if start is not None:
                    yield start, furthest, told
                    start = None
                furthest = max(furthest, told.step)

    def workers(self) -> list[int]:
        """How many workers there were, one number a change."""
        sizes = [int(start.event["world_size"]) for start, _, _ in self.starts()]
        return [size for size, _ in itertools.groupby(sizes)]

    def losses(self) -> list[tuple[int, float]]:
        """Step and loss of every step, those done again as often as they were done."""
        return [(told.step, told.event["train_loss"]) for told in self.told if told.kind == "step"]

    def _loop(self, look: Callable[[], None], pause: float) -> None:
        while not self.done.wait(pause):
            look()

    def _follow(self) -> None:
        run = self.run
        if run is None or not (run / METRICS).is_file():
            return
        with (run / METRICS).open("rb") as file:
            file.seek(self.offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        self.offset += len(whole) + len(newline)
        now = time.monotonic()
        for line in whole.splitlines():
            try:
                self.told.append(Told(now, json.loads(line)))
            except ValueError:  # cut short by the death of the one who wrote it
                continue

    def _read(self) -> None:
        run = self.run
        if run is None:
            return
        place = open_place(run / CHECKPOINTS, None)
        newest = max(place.steps(), default=None)
        if newest is None:
            return
        try:
            checkpoint.read(place, newest)
            self.reads += 1
        except TrainError as error:
            if newest == max(place.steps(), default=None):  # or newer ones have come, and this one was removed
                self.unreadable.append(str(error))
