"""What can be known to fail before anything is spent."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tunesmith.errors import TrainError
from tunesmith.models.load import own_dtype
from tunesmith.plan.time.rates import EMULATION
from tunesmith.recipe.schema import Recipe
from tunesmith.store.home import Home

GIB = 1 << 30


@dataclass(frozen=True)
class Placement:
    """What each worker gets: cores and GPUs. `workers` is their largest number here."""

    workers: int
    cpus: int
    gpus: int

    @property
    def need(self) -> dict[str, float]:
        """The same as Ray counts resources."""
        return {"CPU": float(self.cpus), **({"GPU": float(self.gpus)} if self.gpus else {})}


def place(recipe: Recipe) -> Placement:
    """Fill in what the recipe leaves open from this machine. Raises TrainError for a GPU that is not there."""
    import torch

    resources = recipe.resources
    here = torch.cuda.device_count() if torch.cuda.is_available() else 0
    remote = bool(os.environ.get("RAY_ADDRESS"))
    fewest = resources.fewest
    gpus = resources.gpus_per_worker if resources.gpus_per_worker is not None else int(here >= fewest)
    if gpus and not remote and here < fewest * gpus:
        raise TrainError(
            f"{fewest * gpus} GPU(s) are asked for, this machine has {here}",
            where="resources.gpus_per_worker",
            fix="set resources.gpus_per_worker: 0, or name a cluster with RAY_ADDRESS",
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cpus = resources.cpus_per_worker or (1 if gpus else max(1, cores // resources.most))
    if not remote and cpus * fewest > max(cores, fewest):
        raise TrainError(
            f"{fewest} worker(s) of {cpus} cores are asked for, this machine has {cores}",
            where="resources.cpus_per_worker",
            fix=f"set it to {max(1, cores // fewest)} or leave it out",
        )
    if remote:
        return Placement(resources.most, cpus, gpus)
    room = here // gpus if gpus else cores // cpus
    return Placement(max(fewest, min(resources.most, room)), cpus, gpus)


def slow_type(recipe: Recipe, placement: Placement) -> str | None:
    """What is to be said of a type that this machine's processor only emulates; None where it does not."""
    import torch

    from tunesmith.models.load import computes_bfloat16

    wanted = recipe.base.dtype
    if wanted != "bfloat16" or placement.gpus or os.environ.get("RAY_ADDRESS"):
        return None
    if computes_bfloat16(torch.device("cpu")):
        return None
    field = "model.dtype" if recipe.model.dtype == wanted else "train.precision"
    return f"{field}: this processor has no bfloat16 instructions; float32, or auto, is {EMULATION} times as fast"


def check_architecture(model_folder: Path, recipe: Recipe) -> None:
    """Refuse an architecture whose attention, or loss in chunks, the loop does not reproduce. Raises ModelError."""
    from transformers import AutoConfig

    from tunesmith.models.attention import check_supported
    from tunesmith.models.head_loss import check_kind

    config = AutoConfig.from_pretrained(model_folder, trust_remote_code=recipe.model.trust_remote_code)
    check_supported(config, recipe.train.sequence_length)
    if recipe.train.chunked_loss:
        check_kind(config)


def check_writable(home: Home) -> None:
    """Refuse a home that cannot be written to."""
    try:
        home.folder.mkdir(parents=True, exist_ok=True)
        probe = home.folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise TrainError(
            f"the home folder cannot be written to ({error.strerror})",
            where=str(home.folder),
            fix="set TUNESMITH_HOME to a folder that can",
        ) from None


def check_room(recipe: Recipe, model_folder: Path, home: Home, placement: Placement) -> None:
    """Refuse a run whose checkpoints would fill the disk, or whose weights alone exceed this machine's memory.

    A rough lower bound from file sizes; raises TrainError with both numbers.
    """
    import psutil

    weights = sum(path.stat().st_size for path in model_folder.glob("*.safetensors"))
    trained = _trained_parameters(recipe, model_folder, weights)
    disk = trained * 12 * (recipe.train.keep_checkpoints + 2) + trained * 4
    free = shutil.disk_usage(home.folder).free
    if disk > free:
        raise TrainError(
            f"checkpoints need about {disk / GIB:.1f} GiB, the disk has {free / GIB:.1f} GiB left",
            where=str(home.folder),
            fix="free some space, lower train.keep_checkpoints, or set TUNESMITH_HOME to a larger disk",
        )
    needed = placement.workers * (weights + trained * 16) if not placement.gpus else 0
    available = psutil.virtual_memory().available
    if needed > available and not os.environ.get("RAY_ADDRESS"):
        raise TrainError(
            f"weights, adapter and optimizer of {placement.workers} worker(s) need {needed / GIB:.1f} GiB of memory, "
            f"{available / GIB:.1f} GiB are available",
            where="model.source",
            fix="choose a smaller model, or fewer workers",
        )


def _trained_parameters(recipe: Recipe, model_folder: Path, weight_bytes: int) -> int:
    """All weights, or none where only some of them are trained, which a lower bound need not know; or an adapter's.

    For the latter an upper estimate: every layer has about seven matrices between hidden and intermediate width.
    """
    if not recipe.method.has_adapter:
        width = 4 if own_dtype(model_folder) == "float32" else 2
        return weight_bytes // width if recipe.method.layers == "all" else 0
    config = json.loads((model_folder / "config.json").read_text(encoding="utf-8"))
    config = config.get("text_config", config)
    hidden, layers = config.get("hidden_size", 0), config.get("num_hidden_layers", 0)
    inner = config.get("intermediate_size") or 4 * hidden
    return int(layers * recipe.method.rank * (4 * 2 * hidden + 3 * (hidden + inner)))
