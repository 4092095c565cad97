"""What may interrupt training between two steps; the workers agree on it with the numbers of each step."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from tunesmith.train.job import RESIZE, STOP


@dataclass(frozen=True)
class Wishes:
    """How many workers say that: the user wants an end; a node is about to go; more workers could join; a checkpoint
    is due; the last one is still being written; writing it has failed."""

    stop: float = 0.0
    drain: float = 0.0
    resize: float = 0.0
    due: float = 0.0
    busy: float = 0.0
    failed: float = 0.0

    @property
    def leave(self) -> bool:
        """Whether the workers should go, with a checkpoint."""
        return self.stop + self.drain + self.resize > 0

    @property
    def save(self) -> bool:
        """Whether to begin a checkpoint now, without waiting for another."""
        return self.due > 0 and not self.busy

    def values(self) -> list[float]:
        """As numbers to be added up over the workers."""
        return [getattr(self, field.name) for field in fields(self)]


def look(folder: Path, rank: int, drained: bool, due: bool, busy: bool, failed: bool) -> Wishes:
    """What this worker sees; files in the run's folder are looked at by the first one only."""
    first = rank == 0
    return Wishes(
        stop=float(first and (folder / STOP).exists()),
        drain=float(drained),
        resize=float(first and (folder / RESIZE).exists()),
        due=float(first and due),
        busy=float(busy),
        failed=float(failed),
    )
