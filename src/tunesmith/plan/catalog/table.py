"""The tables that come with the package: GPUs by their data sheets, machines to rent with dated prices."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

from tunesmith.plan.hardware import Accelerator, Machine
from tunesmith.plan.money import Market, Price

GIBIBYTE, MEBIBYTE = 1 << 30, 1 << 20
ANY_LINK = 32e9
"""Bytes a second in one direction over 16 lanes of PCIe 4, where nothing better is known."""


@cache
def accelerators() -> dict[str, Accelerator]:
    """Name -> GPU. Memory is what `nvidia-smi` reports of it, rates are the dense ones of the data sheet."""
    return {
        row["name"]: Accelerator(
            name=row["name"],
            ray_name=row["ray_name"] or None,
            memory_bytes=int(row["memory_mib"]) * MEBIBYTE,
            bandwidth=float(row["bandwidth_gb"]) * 1e9,
            flops_float32=float(row["tflops_float32"]) * 1e12,
            flops_16bit=float(row["tflops_16bit"]) * 1e12,
            bfloat16=row["bfloat16"] == "yes",
            link=float(row["link_gb"]) * 1e9,
            watts=float(row["watts"]),
            source=row["source"],
        )
        for row in _rows("accelerators.csv")
    }


@cache
def machines() -> tuple[Machine, ...]:
    """Everything with GPUs that can be rented, each price with the day and the place it was read."""
    return tuple(
        _machine(
            row,
            accelerators()[row["accelerator"]],
            int(row["num_accelerators"]),
            float(row["interruptions"]) if row["interruptions"] else None,
        )
        for row in _rows("machines.csv")
    )


@cache
def cpu_machines() -> tuple[Machine, ...]:
    """Machines without GPUs, for the heads and CPU workers of clusters; no run is planned on them."""
    return tuple(_machine(row, None, 0, None) for row in _rows("cpu_machines.csv"))


def _machine(
    row: dict[str, str], accelerator: Accelerator | None, num_accelerators: int, interruptions: float | None
) -> Machine:
    return Machine(
        provider=row["provider"],
        name=row["name"],
        region=row["region"],
        accelerator=accelerator,
        num_accelerators=num_accelerators,
        cpus=int(row["cpus"]),
        memory_bytes=int(row["memory_gib"]) * GIBIBYTE,
        network=float(row["network_gbit"]) * 1e9 / 8,
        prices=tuple(
            Price(Decimal(row[column]), market, *_sources()[row[f"{column}_from"]])
            for column, market in PRICE_COLUMNS.items()
            if row[column]
        ),
        interruptions=interruptions,
    )


@cache
def _sources() -> dict[str, tuple[date, str]]:
    return {row["key"]: (date.fromisoformat(row["date"]), row["source"]) for row in _rows("sources.csv")}


PRICE_COLUMNS: dict[str, Market] = {"on_demand": "on-demand", "spot": "spot"}
"""Column of the table -> market."""


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (Path(__file__).parent / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)
