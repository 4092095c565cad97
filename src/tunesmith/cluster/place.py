"""What a job is, and what is asked of a place that runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

State = Literal["waiting", "running", "succeeded", "failed", "stopped", "lost"]
"""`failed` is the job's own doing; `lost` a supervisor or node that died under it: sent again, it goes on."""

ENDED: tuple[State, ...] = ("succeeded", "failed", "stopped", "lost")


@dataclass(frozen=True)
class Job:
    """A recipe with what it needs, packed. `id` says what is one job: of a run, the content; of a retrain, the name.

    `package` is a zip that becomes the job's folder, `digest` the hash of what is in it; `storage` the place that
    outlives the cluster; `environment` is seen by everybody who may see the cluster's jobs.
    """

    id: str
    recipe: str
    package: bytes = field(repr=False)
    storage: str
    entrypoint: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    digest: str = ""


@dataclass(frozen=True)
class JobStatus:
    """One time that a job was sent: `attempt` counts from 1; times in seconds since 1970; `message` is the place's;
    `digest` is that of the package it was sent with."""

    id: str
    attempt: int
    recipe: str
    state: State
    message: str = ""
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    digest: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ENDED


@dataclass(frozen=True)
class Node:
    """A node's resources, by Ray's names, and its labels."""

    resources: dict[str, float]
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cluster:
    """What a place has now, and whether it starts further nodes on demand."""

    nodes: tuple[Node, ...]
    grows: bool


class Place(Protocol):
    """A cluster. All of it raises TargetError: what, where, what to do."""

    def look(self) -> Cluster:
        """See what is there. Refuses a cluster whose software does not go with ours."""

    def send(self, job: Job, attempt: int) -> None:
        """Start a job, for the first time or again. The same attempt twice is one."""

    def jobs(self) -> list[JobStatus]:
        """Every attempt that the place knows of, oldest first."""

    def logs(self, id: str, attempt: int) -> str:
        """All that an attempt has written so far."""

    def stop(self, id: str, attempt: int) -> None:
        """Ask an attempt to end; it keeps its work."""
