"""From a recipe to a job on a cluster: packed, refused where it cannot work, sent once."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from tunesmith.cluster.job import Result, read_result
from tunesmith.cluster.lease import read_lease
from tunesmith.cluster.pack import Package, pack
from tunesmith.cluster.place import Cluster, Job, JobStatus, Place
from tunesmith.cluster.room import Share, check_room, share_of
from tunesmith.cluster.storage import JOBS, Storage
from tunesmith.cluster.targets import Target, TargetError
from tunesmith.recipe.load import LoadedRecipe

Say = Callable[[str], None]

STOP_SECONDS = "120"
"""How long Ray waits after a job was asked to stop: it writes a checkpoint first."""


@dataclass(frozen=True)
class Prepared:
    """A job that may be sent: what it takes along, what each worker gets, what is known of it already.

    `result` is there when it has ended before, `running` when the place is at it, `attempts` is how often it was sent.
    """

    job: Job
    package: Package
    share: Share
    cluster: Cluster
    storage: Storage
    result: Result | None
    running: JobStatus | None
    attempts: int

    @property
    def attempt(self) -> int:
        """The number of the attempt that is followed: the one that runs, or the next."""
        return self.running.attempt if self.running else self.attempts + 1


def prepare(
    loaded: LoadedRecipe, target: Target, place: Place, say: Say, again: bool = False, yes: bool = False
) -> Prepared:
    """Check everything that can be checked from here. Nothing is sent.

    `again` makes it another job than the same recipe was before. Raises TargetError for what would fail.
    """
    storage = storage_of(target)
    package, cluster, share = looked_at(loaded, storage, place, say)
    known = place.jobs()
    id = _id(loaded.recipe.name, package, storage, 0)
    if again:
        turn = 0
        while storage.names(f"{JOBS}/{id}") or any(one.id == id for one in known):
            turn += 1
            id = _id(loaded.recipe.name, package, storage, turn)
    options = [part for one in share.overrides() for part in ("--set", one)]
    entrypoint = (
        target.python,
        "-m",
        "tunesmith.cluster.start",
        id,
        storage.under(),
        *options,
        *(["--yes"] if yes else []),
    )
    mine = [one for one in known if one.id == id]
    name, environment = loaded.recipe.name, environment_of(target)
    job = Job(id, name, package.content, storage.under(), entrypoint, environment, package.digest)
    result = read_result(storage, id)
    if result is not None and result.version is None:
        result = None  # it could not go on then: it is tried again
    running = next((one for one in reversed(mine) if not one.is_over), None)
    if result is None and not mine:
        refuse_elsewhere(storage, id)
    return Prepared(
        job, package, share, cluster, storage, result, running, max((one.attempt for one in mine), default=0)
    )


def looked_at(loaded: LoadedRecipe, storage: Storage, place: Place, say: Say) -> tuple[Package, Cluster, Share]:
    """The recipe packed, the cluster as it is, and what each worker gets. Raises TargetError for what would fail."""
    say(f"storage: {storage.shown}")
    storage.check()
    package = pack(loaded)
    cluster = place.look()
    share = share_of(loaded.recipe.resources, cluster)
    if (doubt := check_room(loaded.recipe.resources, share, cluster)) is not None:
        say(f"warning: {doubt}")
    return package, cluster, share


def storage_of(target: Target) -> Storage:
    """The target's storage. Raises TargetError where it has none."""
    if target.storage is None:
        raise TargetError(
            "it is not said where checkpoints and results are to go",
            where="storage",
            fix="give --storage s3://bucket/prefix, or set `storage` of the target; a cluster's own disks end with it",
        )
    return Storage(target.storage)


def _id(name: str, package: Package, storage: Storage, turn: int) -> str:
    """The same recipe, files and Tunesmith with the same storage are the same job, on any cluster."""
    digest = hashlib.sha256(f"{package.digest}\0{storage.under()}\0{turn}".encode()).hexdigest()
    return f"{name}-{digest[:12]}"


def refuse_elsewhere(storage: Storage, id: str) -> None:
    """Raises TargetError for a job that another cluster is at."""
    lease = read_lease(storage, id)
    if lease is not None and lease.is_fresh(time.time()):
        raise TargetError(
            f"another cluster is at {id}: {lease.holder}",
            where=storage.shown,
            fix="stop it there (`tunesmith jobs stop`); of a cluster that is lost this is forgotten after two minutes",
        )


def environment_of(target: Target) -> dict[str, str]:
    """The job's environment, which Ray shows. Raises TargetError for a variable that is not set here."""
    found = {"RAY_JOB_STOP_WAIT_TIME_S": STOP_SECONDS, "PYTHONUNBUFFERED": "1", **target.env}
    for name in target.env_from_here:
        if name not in os.environ:
            raise TargetError(
                f"{name} is not set here", where="env_from_here", fix=f"export {name}=..., or leave it out"
            )
        found[name] = os.environ[name]
    return found
