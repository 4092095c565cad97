"""What a run tells while it goes on: events as JSON lines, mirrored to trackers."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict
from types import TracebackType
from typing import Any

from tunesmith.plan.ledger import cost_at
from tunesmith.store.durable import write_whole
from tunesmith.train.job import RESULT, TrainJob, TrainResult
from tunesmith.train.progress import Progress
from tunesmith.train.saver import Saved
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
        """An optimizer step was done in so many seconds, standing still for checkpoints included."""
        if self.active:
            rates = {key + "_per_second": numbers[key] / seconds for key in ("tokens", "label_tokens")}
            values = {**numbers, **rates, "seconds": seconds, "total_seconds": progress.seconds, **self._cost()}
            self._write("step", step=progress.step, **values)
            self.mirrors.log(progress.step, values)

    def evaluation(self, progress: Progress, loss: float, seconds: float) -> None:
        """A validation loss, in nats per learnt token, and the seconds it took."""
        if self.active:
            cost = self._cost()
            self._write("evaluation", step=progress.step, validation_loss=loss, seconds=seconds, **cost)
            self.mirrors.log(progress.step, {"validation_loss": loss, **cost})

    def _cost(self) -> dict[str, float]:
        """Dollars so far, where somebody keeps count."""
        spent = cost_at(self.job.folder, time.time())
        return {} if spent is None else {"cost_usd": float(spent)}

    def checkpoint(self, saved: Saved) -> None:
        """A checkpoint was written, or could not be."""
        if self.active:
            self._write("checkpoint", **asdict(saved))
            if saved.problem:
                self.warn(f"checkpoint of step {saved.step}: {saved.problem}")

    def passed_over(self, step: int, verdict: str, loss: float, norm: float, rows: list[int]) -> None:
        """A batch moved no weight, because its loss leapt (`spike`) or was no number (`nonsense`)."""
        if self.active:
            values = {"train_loss": _number(loss), "gradient_norm": _number(norm), "rows": rows}
            self._write("passed_over", at=step, verdict=verdict, **values)
            told = "leapt to" if verdict == "spike" else "is"
            self.warn(f"step {step} is passed over: the loss {told} {loss:g} (packed rows {rows[:8]})")

    def rewound(self, step: int, until: int) -> None:
        """The run went back to a checkpoint, to pass over what followed it."""
        if self.active:
            self._write("rewound", step=step)
            self.warn(f"back to the checkpoint of step {step}; the batches up to step {until} are passed over")

    def warn(self, text: str) -> None:
        """Something the user should see."""
        if self.active:
            self._write("warning", text=text)

    def end(self, result: TrainResult) -> TrainResult:
        """The run has ended; its result is written when there is an adapter."""
        self.status = result.status
        if self.active:
            self._write("end", step=result.steps, status=result.status, **self._cost())
            if result.finished:
                write_whole(self.job.folder / RESULT, (json.dumps(asdict(result), indent=2) + "\n").encode())
        return result


def _number(value: float) -> float | str:
    """JSON has no word for what is no number."""
    return value if math.isfinite(value) else str(value)
