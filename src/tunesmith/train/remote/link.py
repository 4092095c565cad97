"""The way between workers and driver on a cluster: the desk as an actor of Ray, and calls to it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tunesmith.store.durable import write_whole
from tunesmith.train.delivery import Delivery
from tunesmith.train.job import TrainJob
from tunesmith.train.remote.desk import Desk
from tunesmith.train.remote.fetch import NODE_FOLDER
from tunesmith.train.remote.mirror import Mirror
from tunesmith.train.remote.terms import LinkLost

TOKEN = "driver.token"
ANSWER_SECONDS, LONG_SECONDS = 60.0, 3600.0
LONG = ("listing", "accept")
"""Calls that read a whole model."""

CALLS = 8
"""That the desk takes at the same time."""


@contextmanager
def desk(ray: Any, job: TrainJob) -> Iterator[dict[str, Any]]:
    """Let workers find out whether they see the run's folder, and find the desk when they do not.

    The block's value is what they are told. The desk is on the driver's node and ends with the block, or with the
    driver.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    token = secrets.token_hex(16)
    write_whole(job.folder / TOKEN, token.encode("ascii"))
    if not (os.environ.get("RAY_ADDRESS") or os.environ.get(NODE_FOLDER)) and len(ray.nodes()) == 1:
        yield {"token": token, "name": ""}  # this machine's own Ray: its workers see what the driver sees
        return
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"name": f"tunesmith-desk-{token}", "max_restarts": -1, "max_task_retries": -1}
    actor = ray.remote(Desk).options(num_cpus=0, scheduling_strategy=here, max_concurrency=CALLS, **options)
    held = actor.remote(job.run_folder, job.dataset_folder, job.model_folder)
    try:
        yield {"token": token, "name": options["name"]}
    finally:
        with suppress(Exception):  # the cluster may be gone, and the desk with it
            ray.kill(held)
        (job.folder / TOKEN).unlink(missing_ok=True)


class RayLink:
    """Calls to the desk of this name."""

    def __init__(self, name: str) -> None:
        import ray

        self.actor = ray.get_actor(name)

    def call(self, method: str, *arguments: Any) -> Any:
        """The desk's answer; raises LinkLost when there is none within a minute, of what is long within an hour."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            limit = LONG_SECONDS if method in LONG else ANSWER_SECONDS
            return ray.get(getattr(self.actor, method).remote(*arguments), timeout=limit)
        except RayTaskError as error:
            raise error.cause from None  # what the desk itself has raised
        except RayError as error:
            raise LinkLost(f"the driver does not answer ({type(error).__name__})") from error


def delivery_of(job: TrainJob, told: dict[str, Any], rank: int) -> Delivery:
    """How a worker's files reach the driver: by themselves where it sees the run's folder, else by the desk."""
    return Delivery(job) if sees(job.folder, told["token"]) else Mirror(job, rank, RayLink(told["name"]))


def sees(folder: Path, token: str) -> bool:
    """Whether the driver's run folder is this one, not only one of the same name."""
    try:
        return not os.environ.get(NODE_FOLDER) and (folder / TOKEN).read_text(encoding="ascii") == token
    except (OSError, ValueError):
        return False
