"""Ray Train around the loop: workers placed and started, restarted when lost, stopped when the user says so."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from tunesmith.errors import TrainError, TunesmithError
from tunesmith.recipe.resources import ResourcesSection
from tunesmith.store.durable import write_whole
from tunesmith.train import attempts
from tunesmith.train.heartbeat import Heartbeat
from tunesmith.train.interrupts import interrupts
from tunesmith.train.job import ERROR, STOP, TrainJob
from tunesmith.train.lookout import Lookout
from tunesmith.train.ray_cluster import (
    ClusterView,
    connected,
    forget_reservations,
    last_line,
    local_cpus,
    use_own_network,
)
from tunesmith.train.remote.link import delivery_of, desk
from tunesmith.train.remote.terms import LinkLost


def run_on_ray(
    job: TrainJob,
    resources: ResourcesSection,
    cpus: int,
    gpus: int,
    watch: Callable[[], None],
    tell: Callable[[str], None] = lambda text: None,
) -> None:
    """Run the job on `resources.workers` workers and wait for its end.

    `watch` is called a few times a second, `tell` with what the user should know. The first Ctrl-C asks the workers for
    a checkpoint and an orderly end, the second leaves them. Raises TrainError when the workers cannot be placed or are
    lost too often; mistakes that a worker found are raised here as they were there.
    """
    need = {"CPU": float(cpus), **({"GPU": float(gpus)} if gpus else {})}
    with connected(local_cpus(resources, cpus), resources.most * gpus) as ray:
        (job.folder / ERROR).unlink(missing_ok=True)
        attempts.forget_count(job.folder)
        lookout = Lookout(job, resources, need, ClusterView(ray), tell)
        if resources.elastic:
            forget_reservations(ray)

        def look() -> None:
            watch()
            lookout.look()

        with desk(ray, job) as told:
            failure = _fit(job, told, resources, need, look, tell)
    _raise_what_a_worker_found(job)
    if failure is not None:
        raise TrainError(
            f"the workers were lost: {last_line(failure)}",
            where=str(job.folder),
            fix="the run goes on from its last checkpoint when you start it again; the workers' logs are in "
            "/tmp/ray/session_latest/logs/train",
        ) from failure


def _fit(
    job: TrainJob,
    told: Mapping[str, Any],
    resources: ResourcesSection,
    need: Mapping[str, float],
    look: Callable[[], None],
    tell: Callable[[str], None],
) -> BaseException | None:
    """Train. Ray starts workers again that are lost, but gives up when one is lost while they meet: then once more."""
    failures = 0
    while True:
        before = attempts.Attempts.read(job.folder).token
        failure = _wait(_trainer(job, told, resources, need).fit, job, look)
        if failure is None or (job.folder / ERROR).exists() or (job.folder / STOP).exists():
            return failure
        failures = failures + 1 if attempts.Attempts.read(job.folder).token == before else 1
        if failures > resources.max_failures:
            return failure
        tell(f"the workers could not be started ({last_line(failure)}): once more")


def train_worker(values: dict[str, Any]) -> None:
    """What Ray runs on each worker."""
    import ray.train

    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    with delivery_of(TrainJob(**values["job"]), values["told"], rank) as delivery:
        folder = delivery.job.folder
        if (folder / ERROR).exists():
            return  # starting again does not mend what a worker has found
        limit = delivery.job.load_recipe().resources.hang_minutes * 60
        with Heartbeat(folder, rank, world_size, limit, delivery.sync) as beat:
            try:
                from tunesmith.train.loop import Loop

                Loop(delivery.ready(), rank, world_size, _drained, beat, delivery=delivery).run()
            except TunesmithError as error:
                record = {"kind": type(error).__name__, "what": error.what, "where": delivery.shown(error.where)}
                write_whole(folder / ERROR, json.dumps({**record, "fix": error.fix}).encode())
                delivery.sync()
                if world_size > 1:
                    raise  # the others wait for this one
            except attempts.Restart:
                raise
            except Exception as error:
                with suppress(LinkLost):
                    delivery.sync()  # the record is the newest, and then the driver's
                    attempts.note_failure(folder, rank, error)
                    delivery.sync()
                raise


def _drained() -> bool:
    """Whether a node of the workers is about to go. Ray's own call for this waits for all workers at every step."""
    from ray.train.v2._internal.execution.context import get_train_context

    return get_train_context().preemption_context.preemption_info is not None


def _trainer(job: TrainJob, told: Mapping[str, Any], resources: ResourcesSection, need: Mapping[str, float]) -> Any:
    from ray._private.ray_constants import WORKER_PROCESS_SETUP_HOOK_ENV_VAR
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    logging.getLogger("ray.train").setLevel(logging.WARNING)
    remote = bool(os.environ.get("RAY_ADDRESS"))
    # Ray heeds the field `worker_process_setup_hook` only in `ray.init`, and then for every process of the job.
    hook = {"env_vars": {WORKER_PROCESS_SETUP_HOOK_ENV_VAR: f"{use_own_network.__module__}.{use_own_network.__name__}"}}
    return TorchTrainer(
        train_worker,
        train_loop_config={"job": job.to_json(), "told": dict(told)},
        scaling_config=ScalingConfig(
            num_workers=(resources.fewest, resources.most) if resources.elastic else resources.fewest,
            elastic_resize_monitor_interval_s=float("inf"),  # the lookout asks for it, so that nothing is lost
            use_gpu="GPU" in need,
            resources_per_worker=dict(need),
            placement_strategy="PACK",
            accelerator_type=resources.accelerator,
            label_selector=resources.labels or None,
        ),
        torch_config=TorchConfig(backend="nccl" if "GPU" in need else "gloo"),
        run_config=RunConfig(
            name="ray",
            storage_path=str(job.folder),
            # Counted by the workers themselves and by the lookout, which know whether the run gets on.
            failure_config=FailureConfig(max_failures=-1, controller_failure_limit=-1),
            worker_runtime_env=hook if remote else None,
        ),
    )


def _wait(fit: Callable[[], Any], job: TrainJob, look: Callable[[], None]) -> BaseException | None:
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
            look()
    return outcome[0] if outcome else None


def _raise_what_a_worker_found(job: TrainJob) -> None:
    from tunesmith import errors

    path = job.folder / ERROR
    if path.is_file():
        record = json.loads(path.read_text(encoding="utf-8"))
        kind = getattr(errors, record.pop("kind"), TrainError)
        raise kind(record["what"], where=record["where"], fix=record["fix"])
