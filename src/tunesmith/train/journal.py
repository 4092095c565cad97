"""What a run tells while it goes on: events as JSON lines, mirrored to trackers."""

from __future__ import annotations

import json
from dataclasses import asdict
from types import TracebackType
from typing import Any

from tunesmith.store.durable import write_whole
from tunesmith.train.job import RESULT, TrainJob, TrainResult
from tunesmith.train.progress import Progress
from tunesmith.train.sinks import JsonLines, Mirrors


class Journal:
    """Rank 0 writes; the other workers have the same calls, which do nothing."""

    def __init__(self, job: TrainJob, rank: int) -> None:
        self.job, self.active = job, rank == 0
        self.status = "failed"
        if self.active:
            self.lines = JsonLines(job.folder)
            self.mirrors = Mirrors(job.load_recipe(), job.folder.name, lambda text: self._write("warning", text=text))

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.active:
            self.mirrors.close(self.status)
            self.lines.close()

    def _write(self, event: str, **values: Any) -> None:
        self.lines.write({"event": event, **values})

    def start(self, progress: Progress, total_steps: int, facts: dict[str, Any]) -> None:
        """The run begins or goes on."""
        if self.active:
            self._write("start", step=progress.step, total_steps=total_steps, **facts)

    def step(self, progress: Progress, numbers: dict[str, float], seconds: float) -> None:
        """An optimizer step was done in so many seconds."""
        if self.active:
            rates = {key + "_per_second": numbers[key] / seconds for key in ("tokens", "label_tokens")}
            values = {**numbers, **rates, "seconds": seconds, "total_seconds": progress.seconds}
            self._write("step", step=progress.step, **values)
            self.mirrors.log(progress.step, values)

    def evaluation(self, progress: Progress, loss: float, seconds: float) -> None:
        """A validation loss, in nats per learnt token, and the seconds it took."""
        if self.active:
            self._write("evaluation", step=progress.step, validation_loss=loss, seconds=seconds)
            self.mirrors.log(progress.step, {"validation_loss": loss})

    def end(self, result: TrainResult) -> TrainResult:
        """The run has ended; its result is written when there is an adapter."""
        self.status = result.status
        if self.active:
            self._write("end", step=result.steps, status=result.status)
            if result.finished:
                write_whole(self.job.folder / RESULT, (json.dumps(asdict(result), indent=2) + "\n").encode())
        return result
