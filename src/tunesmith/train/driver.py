"""Ray Train around the loop: workers placed and started, restarted when lost, stopped when the user says so."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tunesmith.errors import TrainError, TunesmithError
from tunesmith.recipe.resources import ResourcesSection
from tunesmith.store.durable import write_whole
from tunesmith.train import attempts
from tunesmith.train.heartbeat import Heartbeat
from tunesmith.train.interrupts import interrupts
from tunesmith.train.job import ERROR, TrainJob
from tunesmith.train.lookout import Lookout

ENVIRONMENT = {
    # A Ray started here listens on loopback for as long as the run; without this 2.60 turns token auth on half-way.
    "RAY_AUTH_MODE": "disabled",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # by default workers yield to everything else on the machine
    # A link cut in silence is noticed after seconds, not after seven minutes. Nodes need the same two.
    "RAY_grpc_client_keepalive_time_ms": "5000",
    "RAY_grpc_client_keepalive_timeout_ms": "5000",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "15",  # of one try to place workers; how many is up to the lookout
}


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
    with connected(_local_cpus(resources, cpus), resources.most * gpus) as ray:
        (job.folder / ERROR).unlink(missing_ok=True)
        attempts.forget_count(job.folder)
        lookout = Lookout(job, resources, need, _View(ray), tell)
        trainer = _trainer(job, resources, need)
        if resources.elastic:
            _forget_reservations(ray)

        def look() -> None:
            watch()
            lookout.look()

        failure = _wait(trainer.fit, job, look)
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

    context = ray.train.get_context()
    job = TrainJob(**values)
    if (job.folder / ERROR).exists():
        return  # starting again does not mend what a worker has found
    rank, world_size = context.get_world_rank(), context.get_world_size()
    limit = job.load_recipe().resources.hang_minutes * 60
    with Heartbeat(job.folder, rank, world_size, limit) as beat:
        try:
            from tunesmith.train.loop import Loop

            Loop(job, rank, world_size, _drained, beat).run()
        except TunesmithError as error:
            record = {"kind": type(error).__name__, "what": error.what, "where": error.where, "fix": error.fix}
            write_whole(job.folder / ERROR, json.dumps(record).encode())
            if world_size > 1:
                raise  # the others wait for this one
        except attempts.Restart:
            raise
        except Exception as error:
            attempts.note_failure(job.folder, rank, error)
            raise


def _drained() -> bool:
    """Whether a node of the workers is about to go. Ray's own call for this waits for all workers at every step."""
    from ray.train.v2._internal.execution.context import get_train_context

    return get_train_context().preemption_context.preemption_info is not None


def use_own_network() -> None:
    """Let gloo listen where the other nodes see this one, also where the host's name stands for loopback."""
    import psutil
    import ray.util

    address = ray.util.get_node_ip_address()
    for name, addresses in psutil.net_if_addrs().items():
        if any(one.address == address for one in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


class _View:
    """What the lookout asks of Ray."""

    def __init__(self, ray: Any) -> None:
        self.ray = ray

    def nodes(self) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = self.ray.nodes()
        return nodes

    def free(self) -> list[Mapping[str, float]]:
        """Resources in nobody's use, node by node."""
        from ray._private import state

        return list(state.available_resources_per_node().values())

    def placed(self) -> bool:
        """Whether workers of this run have their places, so that they are only starting."""
        from ray.util import placement_group_table

        own = self.ray.get_runtime_context().get_job_id()
        table = placement_group_table()
        return any(group["state"] == "CREATED" and name.endswith(own) for name, group in table.items())


@contextmanager
def connected(cpus: int, gpus: int) -> Iterator[Any]:
    """A Ray cluster: the one of RAY_ADDRESS, or one of our own on this machine for the time of the block."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
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


def _local_cpus(resources: ResourcesSection, cpus: int) -> int:
    """Of a Ray on this machine: as many workers as have cores of their own, and never fewer than asked for."""
    cores = os.cpu_count() or 1
    return cpus * max(resources.fewest, min(resources.most, cores // cpus))


def _trainer(job: TrainJob, resources: ResourcesSection, need: Mapping[str, float]) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    logging.getLogger("ray.train").setLevel(logging.WARNING)
    remote = bool(os.environ.get("RAY_ADDRESS"))
    hook = {"worker_process_setup_hook": f"{__name__}.{use_own_network.__name__}"}
    return TorchTrainer(
        train_worker,
        train_loop_config=job.to_json(),
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


def _forget_reservations(ray: Any) -> None:
    """Ray 2.60 keeps what an elastic run had reserved for three minutes after its driver was killed.

    The actor that keeps such reservations starts anew without any; other runs renew theirs within 20 seconds.
    """
    try:
        coordinator = ray.get_actor("AutoscalingCoordinator", namespace="AutoscalingCoordinator")
    except ValueError:  # no elastic run has been here
        return
    ray.kill(coordinator, no_restart=False)


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


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
