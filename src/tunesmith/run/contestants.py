"""Base and tuned model of a finished run, loaded to be compared; and the machine that does it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.recipe.schema import Recipe
from tunesmith.train.job import TrainJob


@dataclass(frozen=True)
class Models:
    """`tuned` is a whole model, or an adapter on its base; `base` is there only beside a whole one."""

    tuned: Any
    base: Any = None

    @classmethod
    def load(cls, job: TrainJob, recipe: Recipe, cache: Path) -> Models:
        """Load them from the job's folders onto the device at hand; a base that was quantised in training is so here.

        `cache` is where the quantised copy is kept. Raises ModelError.
        """
        from tunesmith.models.load import choose_device, load_base, load_tuned
        from tunesmith.models.quantise import base_folder

        device, folder = choose_device(), Path(job.model_folder)
        if not recipe.method.has_adapter:
            return cls(*(load_base(one, recipe.base, device) for one in (job.artefact, folder)))
        beneath = base_folder(folder, recipe.base, recipe.method, device, cache)
        return cls(load_tuned(beneath, recipe.base, job.artefact, device))


def machine() -> dict[str, str]:
    """What a report says of the machine that made it."""
    return {"processor": _processor(), "cores": str(os.cpu_count()), "system": platform.platform()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
