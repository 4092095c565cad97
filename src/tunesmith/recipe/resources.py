"""The `resources` section: what each worker gets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tunesmith.recipe.section import Section


class ResourcesSection(Section):
    """Workers and what each of them gets."""

    workers: int = Field(1, ge=1)
    """Processes that train together."""

    strategy: Literal["ddp", "fsdp", "zero1", "zero2", "zero3"] = "ddp"
    """How the workers share the model: `ddp` gives each all of it, `fsdp` and `zero3` a part of everything, `zero1` a
    part of the optimizer's state, `zero2` of the gradients too. `zero*` are DeepSpeed's. The result is the same."""

    offload: Literal["none", "optimizer", "all"] = "none"
    """What lies in memory instead of on the GPU: the optimizer's state (`zero*`), or parameters too (`fsdp`,
    `zero3`)."""

    offload_folder: str | None = None
    """A folder on an NVMe disk to offload to instead of memory (`zero3`)."""

    cpus_per_worker: int | None = Field(None, ge=1)
    """Cores of each worker; by default this machine's cores shared out evenly, or 1 beside a GPU."""

    gpus_per_worker: Literal[0, 1] | None = None
    """One GPU a worker or none; by default one where there is one."""

    max_failures: int = Field(2, ge=0)
    """How often lost workers are started again from the last checkpoint."""
