"""What a piece of hardware achieves: a handful of rates, measured here or assumed from what others have published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from typing import Any, Literal

from tunesmith.plan.hardware import Machine
from tunesmith.plan.time.published import SHARE_OF_BANDWIDTH, share_of

CPU_FLOPS, CPU_FLOPS_BFLOAT16, CPU_BANDWIDTH = 40e9, 100e9, 5e9
"""Assumed for each core until it is measured: operations and bytes a second. Two cores of a Xeon with AVX512-BF16 reach
214 GFLOP/s in this loop's products (benchmarks/results/train-2026-11.md); most cores have no such units."""


EMULATION = 25
"""How much longer bfloat16 takes than float32 where a CPU has no instructions for it: 1.2 and 38 GFLOP/s in products of
512 x 576 x 1,536; 6.4 and 144 tokens/s in training (two cores of an EPYC that has AVX2 only, 2026-11-27)."""


@dataclass(frozen=True)
class Rates:
    """What one machine's cores together, or one GPU, do in a second, for one method and type to compute in.

    `flops` of matrix products; `attention`, those of kernels that keep no scores; `bandwidth`, bytes of everything
    between them; `unpack`, weights of 4 or 8 bits; `quantise`, weights packed into them; `exchange`, bytes between
    workers of one machine; `load`, bytes of weights into memory; `write`, bytes of a checkpoint. Seconds: `dispatch`
    for each layer and micro-batch, `step` for each optimizer step, `start_up` of a run and its end besides its model,
    `decode` for each layer and decoded position, `position` for each of these besides. `sharing` is how much longer a
    worker takes than its share of the cores explains, when all of them work.
    """

    hardware: str
    method: str
    computes_in: Literal["bfloat16", "float32"]
    flops: float
    attention: float
    bandwidth: float
    unpack: float
    quantise: float
    exchange: float
    dispatch: float
    step: float
    start_up: float
    load: float
    write: float
    decode: float
    position: float
    sharing: float
    origin: Literal["measured", "assumed"]
    date: date
    source: str

    @property
    def itemsize(self) -> int:
        """Bytes of a value that is computed with."""
        return 2 if self.computes_in == "bfloat16" else 4

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "date": self.date.isoformat()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Rates:
        """The rates that `to_json` wrote. Raises ValueError, KeyError or TypeError for anything else."""
        found = cls(**{**values, "date": date.fromisoformat(values["date"])})
        for field in fields(cls):
            value = getattr(found, field.name)
            if isinstance(value, int | float) and not value >= 0:
                raise ValueError(f"'{field.name}' is {value}")
        for name in ("flops", "attention", "bandwidth", "unpack", "quantise", "exchange", "load", "write"):
            if not getattr(found, name):
                raise ValueError(f"'{name}' is 0")
        return found


def hardware_key(machine: Machine) -> str:
    """What rates are kept under: a GPU by its name wherever it is, a machine without one by its own key."""
    return machine.accelerator.name if machine.accelerator else machine.key


def assumed_rates(machine: Machine, method: str) -> Rates:
    """Rates of hardware that nobody has measured here, from its data sheet and the shares that others reach of it."""
    flops = (CPU_FLOPS_BFLOAT16 if machine.bfloat16 else CPU_FLOPS) * machine.cpus
    knows = "cores and bfloat16 instructions are" if machine.bfloat16 else "cores is"
    common = Rates(
        hardware=hardware_key(machine), method=method, computes_in="bfloat16" if machine.bfloat16 else "float32",
        flops=flops, attention=flops / 4, bandwidth=CPU_BANDWIDTH * machine.cpus,
        unpack=3e8 * machine.cpus, quantise=3e7 * machine.cpus, exchange=1e9,
        dispatch=2e-3, step=0.02, start_up=16.0, load=5e8, write=3e8, decode=5e-4, position=2e-3,
        sharing=1.1, origin="assumed", date=date(2026, 11, 25),
        source=f"a CPU of which only the number of {knows} known",
    )  # fmt: skip
    gpu = machine.accelerator
    if gpu is None:
        return common
    share = share_of(gpu.name)
    in_16_bits = gpu.bfloat16
    peak = gpu.flops_16bit if in_16_bits else gpu.flops_float32
    bandwidth = gpu.bandwidth * SHARE_OF_BANDWIDTH
    return replace(
        common,
        computes_in="bfloat16" if in_16_bits else "float32",
        flops=peak * share.value,
        attention=peak * share.value,
        bandwidth=bandwidth,
        unpack=bandwidth / 4.5,  # 4 bits and their scale are read, 16 bits written, and read again by the product
        quantise=1e9,
        exchange=gpu.link * SHARE_OF_BANDWIDTH,
        dispatch=6e-4,
        step=0.01,
        start_up=30.0,
        load=1e9,
        write=5e8,
        decode=6e-4,
        position=2e-3,
        sharing=1.0,
        date=share.date,
        source=share.source,
    )
