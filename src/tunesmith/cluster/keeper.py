"""Who sends a job again when its supervisor died while nobody was looking: an actor on the head, until the job is over.

Ray runs a job once. The laptop that follows it sends it again (`follow`); this does where no laptop is.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from tunesmith.cluster.follow import TRIES
from tunesmith.cluster.ray_place import LOST, MARK, submission

NAMESPACE = "tunesmith-keepers"
SECONDS = 5.0
"""Between two looks."""

OVER = ("SUCCEEDED", "STOPPED", "FAILED")


def keep(client: Any, id: str, sleep: Callable[[float], None] = time.sleep) -> int:
    """Watch the newest attempt of a job, and send it again when its supervisor was lost. Gives how often that was.

    `client` is Ray's JobSubmissionClient. Whatever it raises is taken for something that passes.
    """
    again = 0
    while True:
        try:
            attempts = [one for one in client.list_jobs() if (one.metadata or {}).get(MARK) == id]
            if not attempts:
                return again  # it was deleted
            latest = max(attempts, key=lambda one: int(one.metadata["attempt"]))
            if latest.status in OVER:
                error = getattr(latest.error_type, "value", latest.error_type)
                if latest.status != "FAILED" or error not in LOST or again >= TRIES:
                    return again
                attempt = int(latest.metadata["attempt"]) + 1
                client.submit_job(
                    entrypoint=latest.entrypoint,
                    submission_id=submission(id, attempt),
                    runtime_env=latest.runtime_env,
                    metadata={**latest.metadata, "attempt": str(attempt)},
                )
                again += 1
        except Exception as error:  # the dashboard is away for a moment, or a laptop was faster
            print(f"keeper of {id}: {error}", file=sys.stderr)
        sleep(SECONDS)


def leave_keeper(id: str) -> None:
    """Start the actor where the job has none. It takes no cores, and stays on this node. Raises what Ray raises."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    class Keeper:
        def __init__(self) -> None:
            import threading

            threading.Thread(target=self._keep, daemon=True).start()

        def _keep(self) -> None:
            from ray.job_submission import JobSubmissionClient

            from tunesmith.cluster.keeper import NAMESPACE, keep

            keep(JobSubmissionClient(ray.get_runtime_context().gcs_address), id)
            ray.kill(ray.get_actor(id, namespace=NAMESPACE))

        def ready(self) -> None:
            """Answers once it watches."""

    with_ours = not ray.is_initialized()
    if with_ours:
        ray.init(namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
    try:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor = ray.remote(Keeper).options(
            name=id, namespace=NAMESPACE, lifetime="detached", get_if_exists=True, num_cpus=0, max_restarts=-1,
            scheduling_strategy=here,
        )  # fmt: skip
        ray.get(actor.remote().ready.remote(), timeout=120)
    finally:
        if with_ours:
            ray.shutdown()
