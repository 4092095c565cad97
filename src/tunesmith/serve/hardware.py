"""What engines will run on, as far as it can be known before they do."""

from __future__ import annotations

import os
from pathlib import Path

from tunesmith.models.load import own_dtype
from tunesmith.plan.catalog import this_machine
from tunesmith.recipe.serve import EngineSection


def cluster_has_gpus() -> bool:
    """Whether the cluster that this process is connected to has GPUs."""
    import ray

    return ray.is_initialized() and ray.cluster_resources().get("GPU", 0) > 0


def on_this_hardware(engine: EngineSection, folder: Path) -> EngineSection:
    """The settings with `dtype: auto` as float32, where weights are saved in 16 bits and this CPU has no instructions
    for those: it would take many times as long. What machines of a cluster elsewhere have is not known here."""
    if engine.dtype != "auto" or engine.device == "gpu" or own_dtype(folder) == "float32":
        return engine
    here = this_machine()
    elsewhere = engine.device == "auto" and (here.accelerator or cluster_has_gpus() or os.environ.get("RAY_ADDRESS"))
    return engine if here.bfloat16 or elsewhere else engine.model_copy(update={"dtype": "float32"})
