"""How often a run's workers were started, and from where, so that restarts without an end are ended."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tunesmith.errors import TrainError
from tunesmith.recipe.resources import ResourcesSection
from tunesmith.recipe.train import TrainSection
from tunesmith.store.durable import write_whole

NAME = "attempts.json"


class Restart(Exception):
    """The workers are to be started again from the last checkpoint; not a failure."""


@dataclass
class Attempts:
    """The record in the run's folder, written by the first worker.

    `token` names the attempt that owns the run; `count` of them in a row were lost after the checkpoint of `step`;
    `failures` are all that ended without having been asked to (`asked`); `micro_batch_tokens` is the limit that memory
    has taught; `last_failure` says what a worker saw last.
    """

    token: str = ""
    step: int = -1
    count: int = 0
    failures: int = 0
    asked: bool = True
    micro_batch_tokens: int | None = None
    last_failure: str | None = None

    @classmethod
    def read(cls, folder: Path) -> Attempts:
        """The record, or an empty one."""
        try:
            return cls.of((folder / NAME).read_bytes())
        except OSError:
            return cls()

    @classmethod
    def of(cls, content: bytes | None) -> Attempts:
        """The record that a file holds, or an empty one."""
        try:
            return cls(**json.loads(content or b"{}"))
        except (ValueError, TypeError):
            return cls()

    def write(self, folder: Path) -> None:
        """Replace the record as a whole."""
        write_whole(folder / NAME, json.dumps(asdict(self)).encode())


def begin(folder: Path, step: int, resources: ResourcesSection, section: TrainSection) -> Attempts:
    """Count a start from the checkpoint of `step` (0: from the beginning).

    Workers lost twice at the same place may have run out of memory, which nobody tells a process that is killed for it:
    from then on the micro-batch is halved, which changes no result. Raises TrainError when they were lost more than
    `resources.max_failures` times in a row without reaching another checkpoint.
    """
    record = Attempts.read(folder)
    lost = not record.asked
    record.count = record.count + 1 if lost and record.step == step else 0
    record.failures += lost
    if record.count > resources.max_failures:
        last = f" ({record.last_failure})" if record.last_failure else ""
        raise TrainError(
            f"the workers were lost {record.count} times in a row after the checkpoint of step {step}{last}",
            where=str(folder),
            fix="look into the workers' logs in /tmp/ray/session_latest/logs/train; the same command tries again",
        )
    if record.count >= 2:
        record.micro_batch_tokens = max(1, (record.micro_batch_tokens or section.micro_batch_tokens) // 2)
    record.token, record.step, record.asked, record.last_failure = secrets.token_hex(6), step, False, None
    record.write(folder)
    return record


def ends_as_asked(folder: Path, **changes: Any) -> None:
    """Note that the attempt ends because it was asked to, or of its own will, with what the next one should know."""
    record = Attempts.read(folder)
    record.asked = True
    for name, value in changes.items():
        setattr(record, name, value)
    record.write(folder)


def note_failure(folder: Path, rank: int, error: Exception) -> None:
    """Keep what a worker saw when it was lost; the first of an attempt, because the others see its consequences."""
    record = Attempts.read(folder)
    if record.last_failure is None:
        lines = str(error).strip().splitlines() or ["without a word"]
        record.last_failure = f"worker {rank}: {type(error).__name__}: {lines[0][:200]}"
        record.write(folder)


def forget_count(folder: Path) -> None:
    """A new command begins: the user has seen what was, and wants it tried."""
    record = Attempts.read(folder)
    record.count, record.step = 0, -1
    record.write(folder)
