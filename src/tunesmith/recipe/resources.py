"""The `resources` section: what each worker gets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tunesmith.recipe.address import Address
from tunesmith.recipe.section import Section


class ElasticWorkers(Section):
    """As many workers as there is room for. The global batch, and so the result, stays the same."""

    min: int = Field(1, ge=1)
    """With room for fewer, the run waits (`resources.wait_minutes`)."""

    max: int = Field(ge=1)
    """More are never started."""

    @model_validator(mode="after")
    def _in_order(self) -> ElasticWorkers:
        if self.min > self.max:
            raise ValueError(f"'min' is {self.min}, above 'max', {self.max}", "exchange them")
        return self


class ResourcesSection(Section):
    """Workers and what each of them gets."""

    workers: Annotated[int, Field(ge=1)] | ElasticWorkers = 1
    """Processes that train together: a number, or `{min: 1, max: 8}` for as many as there is room for at any time."""

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

    accelerator: str | None = None
    """Type of GPU the workers need, as Ray names it: `A100`, `H100`, `L4`. Any, by default."""

    labels: dict[str, str] | None = None
    """Labels that the workers' nodes must have, as Ray's label selectors are written: `{market-type: spot}`."""

    machine: str | None = None
    """Type of the machines that the workers run on, as `tunesmith plan` lists them: `aws:g5.xlarge`. It names a price,
    and starts nothing. By default the machine at hand."""

    market: Literal["on-demand", "spot", "owned"] = "on-demand"
    """How `machine` is paid for."""

    usd_per_hour: float | None = Field(None, ge=0)
    """Price of one such machine, over those of the catalog; without a `machine`, of the one at hand, which else costs
    its electricity."""

    checkpoints: Address | None = None
    """URL to keep checkpoints at, such as `s3://bucket/prefix`; by default they lie in the run's folder. Workers on
    hosts that do not see that folder need it."""

    max_failures: int = Field(2, ge=0)
    """How often in a row lost workers are started again from the same checkpoint; with every new one the count starts
    over."""

    wait_minutes: float = Field(1.0, gt=0)
    """How long to wait for nodes that the workers fit on before the run ends. Raise it where nodes are started on
    demand."""

    hang_minutes: float = Field(10.0, gt=0)
    """A worker that gets no further for so long writes down its stacks, and all are started again."""

    @property
    def fewest(self) -> int:
        """The number of workers below which nothing is started."""
        return self.workers if isinstance(self.workers, int) else self.workers.min

    @property
    def most(self) -> int:
        """The largest number of workers."""
        return self.workers if isinstance(self.workers, int) else self.workers.max

    @property
    def elastic(self) -> bool:
        """Whether the number of workers may change during a run."""
        return not isinstance(self.workers, int)

    @model_validator(mode="after")
    def _a_url(self) -> ResourcesSection:
        if self.checkpoints is not None and "://" not in self.checkpoints:
            raise ValueError(
                f"'checkpoints' is no URL: {self.checkpoints!r}",
                "write one such as s3://bucket/prefix, or leave it out to keep them in the run's folder",
            )
        return self
