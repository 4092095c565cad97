"""This machine as a thing that costs money: its cores, memory and GPUs, at the price of electricity."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

from tunesmith.plan.catalog.gpus import Gpu, look_at_gpus
from tunesmith.plan.catalog.system import look_at_system
from tunesmith.plan.catalog.table import ANY_LINK, accelerators
from tunesmith.plan.hardware import Accelerator, Machine
from tunesmith.plan.money import Price

PROVIDER = "here"
USD_PER_KWH = Decimal("0.17")
WATTS_IDLE, WATTS_PER_CORE = 40.0, 10.0
ASSUMED_ON = date(2026, 11, 25)
"""Assumptions, printed with every price that rests on them: about what a household in the US pays, and what a server
draws. Write your own into the hardware file."""

NETWORK = 125e6
"""Bytes a second to other machines: one gigabit, where nothing is known."""

NAMES = (
    ("H200", "H200"), ("H100 NVL", "H100 NVL"), ("H100 PCIe", "H100 PCIe"), ("H100", "H100 SXM"), ("GH200", "GH200"),
    ("A100.*PCIe.*80", "A100-80GB PCIe"), ("A100 80GB PCIe", "A100-80GB PCIe"), ("A100.*80", "A100-80GB"),
    ("A100", "A100-40GB"), ("L40S", "L40S"), ("L4$", "L4"), ("A10G", "A10G"), ("A10$", "A10"), ("T4", "T4"),
    ("V100.*32", "V100-32GB"), ("V100.*PCIE", "V100-16GB PCIe"), ("V100", "V100-16GB"), ("RTX 3090", "RTX 3090"),
    ("RTX 4090", "RTX 4090"), ("RTX 6000 Ada", "RTX 6000 Ada"), ("Quadro RTX 6000", "Quadro RTX 6000"),
    ("RTX A6000", "RTX A6000"), ("MI300X", "MI300X"),
)  # fmt: skip
"""A part of the name that the driver gives -> the name in the table; the first that is found counts."""


def electricity(watts: float, usd_per_kwh: Decimal, day: date, said_by: str) -> Price:
    """What a machine of one's own costs: what it draws, for an hour."""
    amount = (Decimal(str(watts)) * usd_per_kwh / 1000).quantize(Decimal("0.00001"))
    return Price(amount, "owned", day, f"electricity: {watts:g} W at {usd_per_kwh} USD/kWh, {said_by}")


def assumed_watts(cores: int, accelerator: Accelerator | None, number: int) -> float:
    """Of a machine under load: its cores, its GPUs at their board power, and the rest of it."""
    return WATTS_IDLE + WATTS_PER_CORE * cores + (accelerator.watts * number if accelerator else 0.0)


def this_machine(
    watts: float | None = None,
    usd_per_kwh: Decimal | None = None,
    price: Price | None = None,
    system: Path | None = None,
) -> Machine:
    """What this process runs on, seen through its container's limits; without torch.

    GPUs of several types count as so many of the most frequent. `watts`, `usd_per_kwh` and `price` come from the user's
    hardware file; `system` is the root of the system's own files, for tests.
    """
    found = look_at_system(Path.cwd(), system or Path("/"))
    gpus = look_at_gpus().gpus
    accelerator, number = _accelerator(gpus)
    drawn = assumed_watts(found.cores, accelerator, number) if watts is None else watts
    said = "assumed" if watts is None or usd_per_kwh is None else "from the hardware file"
    return Machine(
        provider=PROVIDER,
        name=_slug(f"{accelerator.name} x{number}" if accelerator else f"{_processor(system)} x{found.cores}"),
        region="",
        accelerator=accelerator,
        num_accelerators=number,
        cpus=found.cores,
        memory_bytes=found.memory_bytes,
        network=NETWORK,
        prices=(price or electricity(drawn, usd_per_kwh or USD_PER_KWH, ASSUMED_ON, said),),
        bfloat16=bool(found.bf16),
    )


def known_as(name: str) -> Accelerator | None:
    """The accelerator of the table that a driver's name means."""
    return next((accelerators()[ours] for part, ours in NAMES if re.search(part, name, re.IGNORECASE)), None)


def _accelerator(gpus: tuple[Gpu, ...]) -> tuple[Accelerator | None, int]:
    if not gpus:
        return None, 0
    name, number = Counter(gpu.name for gpu in gpus).most_common(1)[0]
    first = next(gpu for gpu in gpus if gpu.name == name)
    known = known_as(name)
    if known is not None:
        return known, number
    # A GPU that the table lacks: its memory is known, its rates are those of the slowest that computes like it.
    like = accelerators()["L4" if first.has_bf16 else "T4"]
    return Accelerator(
        name=name, ray_name=None, memory_bytes=first.memory_bytes or like.memory_bytes, bandwidth=like.bandwidth,
        flops_float32=like.flops_float32, flops_16bit=like.flops_16bit, bfloat16=first.has_bf16, link=ANY_LINK,
        watts=like.watts, source=f"not in the table: memory from nvidia-smi, rates of the {like.name}",
    ), number  # fmt: skip


def _processor(system: Path | None) -> str:
    try:
        text = ((system or Path("/")) / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "cpu"
    lines = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == "model name"), "cpu")


def _slug(name: str) -> str:
    plain = re.sub(r"\((r|tm)\)|@.*?(?= x\d)|\bCPU\b|\bprocessor\b", " ", name, flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9.]+", "-", plain.lower()).strip("-")
