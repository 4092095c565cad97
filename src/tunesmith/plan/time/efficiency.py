"""Measured rates where there are some, assumed ones elsewhere; kept as one JSON file in the home folder."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunesmith.errors import PlanError
from tunesmith.plan.catalog.here import PROVIDER
from tunesmith.plan.hardware import Machine
from tunesmith.plan.time.rates import CPU_FLOPS, CPU_FLOPS_BFLOAT16, EMULATION, Rates, assumed_rates, hardware_key
from tunesmith.store.durable import write_whole

CALIBRATION = "calibration.json"
FORMAT = 1


@dataclass(frozen=True)
class Efficiency:
    """What is known of how fast hardware is: `measured`, newest last."""

    measured: tuple[Rates, ...] = ()

    def rates(self, machine: Machine, method: str, precision: str = "auto") -> Rates:
        """The rates for a method on a machine: measured with it, or with another method, else assumed.

        `precision` is what the recipe computes in. Rates measured in the other type are not taken.
        """
        found = [one for one in self.measured if one.hardware == hardware_key(machine)]
        if precision != "auto":
            found = [one for one in found if one.computes_in == precision]
        if found:
            # Ray and the packages start as they do whatever is trained, and one start is not like another.
            start_up = statistics.median(one.start_up for one in found)
            alike = [one for one in found if one.method == method]
            if alike:
                return replace(alike[-1], start_up=start_up)
            return replace(found[-1], start_up=start_up, source=f"{found[-1].source}, with {found[-1].method}")
        assumed = assumed_rates(machine, method)
        return _in_type(assumed, machine, precision)

    def add(self, rates: Sequence[Rates]) -> Efficiency:
        """These measurements in place of older ones of the same hardware, method and type."""
        new = {(one.hardware, one.method, one.computes_in) for one in rates}
        kept = [one for one in self.measured if (one.hardware, one.method, one.computes_in) not in new]
        return Efficiency((*kept, *rates))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"format": FORMAT, "measured": [one.to_json() for one in self.measured]}


def _in_type(rates: Rates, machine: Machine, precision: str) -> Rates:
    """Assumed rates when the recipe names the type to compute in."""
    if precision == "auto" or precision == rates.computes_in:
        return rates
    gpu = machine.accelerator
    if precision == "float32":
        slower = gpu.flops_float32 / gpu.flops_16bit if gpu else CPU_FLOPS / CPU_FLOPS_BFLOAT16
        return replace(rates, computes_in="float32", flops=rates.flops * slower, attention=rates.attention * slower)
    if gpu or machine.provider != PROVIDER:
        return replace(rates, computes_in="bfloat16")  # what processors a cloud has is not known
    return replace(
        rates, computes_in="bfloat16", flops=rates.flops / EMULATION, attention=rates.attention / EMULATION,
        source="a CPU without bfloat16 instructions, told to compute in it",
    )  # fmt: skip


def load_efficiency(folder: Path) -> Efficiency:
    """What was measured and kept in a home folder, if anything. Raises PlanError when the file is damaged."""
    path = folder / CALIBRATION
    if not path.is_file():
        return Efficiency()
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise ValueError(f"it is of format {values['format']}")
        return Efficiency(tuple(Rates.from_json(one) for one in values["measured"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PlanError(
            f"the calibration cannot be read ({type(error).__name__}: {error})",
            where=str(path),
            fix="remove the file, then measure again: tunesmith plan RECIPE --calibrate",
        ) from None


def save_efficiency(efficiency: Efficiency, folder: Path) -> Path:
    """Keep it in a home folder, whole or not at all; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CALIBRATION
    write_whole(path, (json.dumps(efficiency.to_json(), indent=2) + "\n").encode())
    return path
