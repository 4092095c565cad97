"""What the pods of a run must have, from its plan: how many, with how many GPUs, cores and how much memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tunesmith.errors import PlanError
from tunesmith.plan.catalog import Catalog
from tunesmith.plan.hardware import Machine
from tunesmith.plan.plan import plan_written
from tunesmith.plan.price import machine_of, market_of
from tunesmith.plan.rows import find_rows
from tunesmith.plan.search import Judge, Option, settings_of
from tunesmith.plan.sizes import find_sizes
from tunesmith.plan.time import load_efficiency
from tunesmith.recipe.load import LoadedRecipe
from tunesmith.recipe.schema import Recipe
from tunesmith.store.home import Home

GIB = 1 << 30
RAY_BYTES = 4 * GIB
"""Ray's own processes and its object store, in every pod."""

SPARE = 1.2
"""Estimates of memory are not better than a tenth, and a container that asks for more than it may is killed."""

OF_A_NODE = 0.85
"""The share of a node that pods may have: the rest is the kubelet's, the system's and the daemons'."""

HEAD_CPUS = 3
"""Cores for Ray's services and the driver, which prepares the data."""

TRAINS = ("run", "train", "sweep", "retrain")
EVALUATES = ("run", "sweep", "evaluate", "retrain")
"""Verbs whose driver answers questions with the model itself, on the pod's own GPU where it has one."""


@dataclass(frozen=True)
class Pod:
    """What one pod asks for, and may have at most."""

    gpus: int
    cpus: int
    memory_bytes: int


@dataclass(frozen=True)
class Layout:
    """The pods of a run. `head_trains` says that workers are placed on the head's pod too.

    `num_pods` are those beside the head, `min_pods` those to start with: fewer where workers come and go. `workers` is
    the largest number of processes that train, `cpus_per_worker` the cores of each. `option` is the plan where the
    machine and the rows are known, `spot` says that the pods beside the head may vanish.
    """

    head: Pod
    worker: Pod
    num_pods: int
    min_pods: int
    head_trains: bool
    workers: int
    cpus_per_worker: int
    gpus_per_worker: int
    spot: bool
    machine: Machine | None
    option: Option | None


def lay_out(
    loaded: LoadedRecipe,
    home: Home,
    catalog: Catalog,
    verb: str,
    examples: int | None = None,
    tokens_per_example: float | None = None,
) -> Layout:
    """Plan a recipe for Kubernetes.

    Raises PlanError for a machine without which the pods are not known, and for what does not fit on it.
    """
    recipe = loaded.recipe
    resources = recipe.resources
    on_gpu = resources.gpus_per_worker == 1 or (resources.gpus_per_worker is None and resources.accelerator is not None)
    machine = machine_of(resources, catalog) if resources.machine else None
    if machine is not None and machine.accelerator and resources.gpus_per_worker != 0:
        on_gpu = True
    if on_gpu and (machine is None or machine.accelerator is None):
        raise PlanError(
            "workers with GPUs need a machine, which says how large their pods may be",
            where="resources.machine",
            fix="name one, such as --set resources.machine=aws:g5.xlarge; `tunesmith plan` lists them",
        )
    judge, known = _judge(loaded, home, examples, tokens_per_example)
    if machine is None or not on_gpu:
        return _on_cpus(recipe, judge, machine, verb, catalog)
    option = plan_written(recipe, judge, machine, market_of(resources))
    if not option.fits:
        raise PlanError(
            f"{recipe.method.type} with {option.workers} worker(s) does not fit on {machine.key}",
            where="resources.machine",
            fix=f"`tunesmith plan` lists what fits, and the cheapest ways to make it fit: --machine {machine.key}",
        )
    return _on_gpus(recipe, option, machine, verb, 2 * judge.shape.parameters, known)


def _judge(
    loaded: LoadedRecipe, home: Home, examples: int | None, tokens_per_example: float | None
) -> tuple[Judge, bool]:
    """The judge of layouts, and whether it knows how many rows there are: memory does not depend on that."""
    try:
        rows, known = find_rows(loaded, home, examples, tokens_per_example), True
    except PlanError:
        half = loaded.recipe.train.sequence_length / 2
        rows, known = find_rows(loaded, home, examples or 1000, tokens_per_example or half), False
    return Judge(find_sizes(loaded).shape, rows.workload, load_efficiency(home.folder)), known


def _on_gpus(recipe: Recipe, option: Option, machine: Machine, verb: str, weights: int, known: bool) -> Layout:
    """One pod to a machine, with as many of its GPUs as there are workers on it; `weights` are the model's bytes."""
    resources = recipe.resources
    workers = resources.most
    together = -(-workers // option.count)
    cpus = resources.cpus_per_worker or 1
    spot = resources.market == "spot"
    trains = verb in TRAINS
    head_trains = verb in EVALUATES and trains and not spot
    pod = Pod(
        gpus=together,
        cpus=_cores(machine, cpus * together + 1),
        memory_bytes=_memory(machine, option.host_bytes),
    )
    evaluating = _memory(machine, weights)
    if head_trains:
        head = replace(pod, cpus=_cores(machine, pod.cpus + HEAD_CPUS), memory_bytes=max(pod.memory_bytes, evaluating))
    elif verb in EVALUATES:
        head = Pod(1, _cores(machine, HEAD_CPUS + 1), evaluating)
    else:
        head = Pod(0, HEAD_CPUS, 2 * RAY_BYTES)
    machines = (option.count, -(-resources.fewest // together))
    most, fewest = ((count - head_trains) * trains for count in machines)
    planned = option if known else None
    return Layout(head, pod, most, fewest, head_trains, workers, cpus, 1, spot and trains, machine, planned)


def _on_cpus(recipe: Recipe, judge: Judge, machine: Machine | None, verb: str, catalog: Catalog) -> Layout:
    """One pod to a worker, as large as its memory asks for."""
    resources = recipe.resources
    cpus = resources.cpus_per_worker or 2
    any_machine = replace(catalog.here, accelerator=None, num_accelerators=0)
    if recipe.base.dtype == "auto":  # nobody knows the nodes' processors: the larger type
        recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"precision": "float32"})})
    memory = judge.memory(recipe, settings_of(recipe), any_machine, resources.most)
    size = math.ceil((memory.host_bytes * SPARE + RAY_BYTES) / GIB) * GIB
    pod = Pod(0, cpus + 1, size)
    head = Pod(0, HEAD_CPUS, size if verb in EVALUATES else 2 * RAY_BYTES)
    trains = verb in TRAINS
    spot = resources.market == "spot" and machine is not None and trains
    most, fewest = resources.most * trains, resources.fewest * trains
    return Layout(head, pod, most, fewest, False, resources.most, cpus, 0, spot, machine, None)


def _cores(machine: Machine, wanted: int) -> int:
    return max(1, min(wanted, int(machine.cpus * OF_A_NODE)))


def _memory(machine: Machine, needed: int) -> int:
    """What is needed and some to spare, but no more than a pod on this machine can get."""
    wanted = math.ceil((needed * SPARE + RAY_BYTES) / GIB)
    return min(wanted, int(machine.memory_bytes * OF_A_NODE / GIB)) * GIB
