"""Ray Train around the loop: workers placed and started, restarted when lost, stopped when the user says so."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tunesmith.errors import TrainError
from tunesmith.recipe.resources import ResourcesSection
from tunesmith.store.durable import write_whole
from tunesmith.train.interrupts import interrupts
from tunesmith.train.job import ERROR, TrainJob

LOCAL_AUTH = "disabled"
"""A Ray started here listens on loopback for as long as the run; without this Ray 2.60 turns token auth on half-way."""


def run_on_ray(job: TrainJob, resources: ResourcesSection, cpus: int, gpus: int, watch: Callable[[], None]) -> None:
    """Run the job on `resources.workers` workers and wait for its end.

    `watch` is called a few times a second. The first Ctrl-C asks the workers for a checkpoint and an orderly end, the
    second leaves them. Raises TrainError when the workers cannot be placed or are lost too often; mistakes that a
    worker found are raised here as they were there.
    """
    with connected(resources.workers * cpus, resources.workers * gpus) as ray:
        _refuse_unplaceable(ray.cluster_resources(), resources.workers, cpus, gpus)
        (job.folder / ERROR).unlink(missing_ok=True)
        trainer = _trainer(job, resources, cpus, gpus)
        failure = _wait(trainer.fit, job, watch)
    _raise_what_a_worker_found(job)
    if failure is not None:
        raise TrainError(
            f"the workers were lost: {_last_line(failure)}",
            where=str(job.folder),
            fix="the run goes on from its last checkpoint when you start it again; the workers' logs are in "
            "/tmp/ray/session_latest/logs/train",
        ) from failure


def train_worker(values: dict[str, Any]) -> None:
    """What Ray runs on each worker."""
    import ray.train

    from tunesmith.errors import TunesmithError
    from tunesmith.train.loop import Loop

    context = ray.train.get_context()
    job = TrainJob(**values)
    try:
        Loop(job, context.get_world_rank(), context.get_world_size()).run()
    except TunesmithError as error:
        # Returned, not raised: starting again would not mend it.
        record = {"kind": type(error).__name__, "what": error.what, "where": error.where, "fix": error.fix}
        write_whole(job.folder / ERROR, json.dumps(record).encode())
        if context.get_world_size() > 1:
            raise


@contextmanager
def connected(cpus: int, gpus: int) -> Iterator[Any]:
    """A Ray cluster: the one of RAY_ADDRESS, or one of our own on this machine for the time of the block."""
    os.environ.setdefault("RAY_AUTH_MODE", LOCAL_AUTH)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
    os.environ.setdefault("RAY_worker_niceness", "0")  # by default workers yield to everything else on the machine
    import ray

    if ray.is_initialized():
        yield ray
        return
    logging.getLogger("ray").setLevel(logging.WARNING)
    address = os.environ.get("RAY_ADDRESS")
    options: dict[str, Any] = {"address": address} if address else {"num_cpus": cpus, "include_dashboard": False}
    if gpus and not address:
        options["num_gpus"] = gpus
    ray.init(log_to_driver=False, logging_level=logging.WARNING, configure_logging=True, **options)
    try:
        yield ray
    finally:
        ray.shutdown()


def _trainer(job: TrainJob, resources: ResourcesSection, cpus: int, gpus: int) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    logging.getLogger("ray.train").setLevel(logging.WARNING)
    return TorchTrainer(
        train_worker,
        train_loop_config=job.to_json(),
        scaling_config=ScalingConfig(
            num_workers=resources.workers,
            use_gpu=gpus > 0,
            resources_per_worker={"CPU": cpus, **({"GPU": gpus} if gpus else {})},
        ),
        torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
        run_config=RunConfig(
            name="ray",
            storage_path=str(job.folder),
            failure_config=FailureConfig(max_failures=resources.max_failures, controller_failure_limit=0),
        ),
    )


def _refuse_unplaceable(have: dict[str, float], workers: int, cpus: int, gpus: int) -> None:
    """Ray would wait for ever for what the cluster does not have."""
    for kind, wanted in (("CPU", workers * cpus), ("GPU", workers * gpus)):
        if wanted > have.get(kind, 0):
            raise TrainError(
                f"{workers} workers want {wanted} {kind}s, the Ray cluster has {have.get(kind, 0):g}",
                where="resources",
                fix="lower resources.workers or resources.cpus_per_worker, or add nodes",
            )


def _wait(fit: Callable[[], Any], job: TrainJob, watch: Callable[[], None]) -> BaseException | None:
    """Run `fit` beside this thread, which keeps the signals: Ray's own handler would drop the work since the last
    checkpoint."""
    outcome: list[BaseException | None] = []

    def work() -> None:
        try:
            fit()
            outcome.append(None)
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=work, daemon=True)
    with interrupts(job):
        thread.start()
        while thread.is_alive():
            thread.join(0.3)
            watch()
    watch()
    return outcome[0] if outcome else None


def _raise_what_a_worker_found(job: TrainJob) -> None:
    from tunesmith import errors

    path = job.folder / ERROR
    if path.is_file():
        record = json.loads(path.read_text(encoding="utf-8"))
        kind = getattr(errors, record.pop("kind"), TrainError)
        raise kind(record["what"], where=record["where"], fix=record["fix"])


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
