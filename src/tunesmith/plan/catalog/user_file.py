"""The user's own hardware file: machines they own, prices they have been promised. It goes before the table."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from tunesmith.errors import PlanError, did_you_mean
from tunesmith.plan.catalog.here import USD_PER_KWH, assumed_watts, electricity, this_machine
from tunesmith.plan.catalog.table import GIBIBYTE, accelerators
from tunesmith.plan.hardware import Machine
from tunesmith.plan.money import Price
from tunesmith.recipe.section import Section
from tunesmith.recipe.section_file import read_section

PLACE = "tunesmith/hardware.yaml"
"""Under `$XDG_CONFIG_HOME`, by default `~/.config`."""


class OwnMachine(Section):
    """A machine of one's own, at the price of electricity unless it names another."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """What `resources.machine` calls it: `owned:NAME`. Letters, digits, dots, dashes, underscores."""

    gpu: str | None = None
    """Name of the GPU as the table has it, such as `RTX 3090`; none for a machine without."""

    gpus: int = Field(1, ge=1)
    """How many of them it has."""

    cpus: int = Field(ge=1)
    """Its cores."""

    memory_gib: float = Field(gt=0)
    """Its memory."""

    network_gbit: float = Field(1.0, gt=0)
    """Bandwidth to other machines."""

    watts: float | None = Field(None, gt=0)
    """What all of it draws under load; by default 40, 10 for each core and the GPUs' board power."""

    usd_per_hour: Decimal | None = Field(None, ge=0)
    """What an hour of it costs, instead of electricity."""

    @field_validator("gpu")
    @classmethod
    def _in_the_table(cls, name: str | None) -> str | None:
        if name is not None and name not in accelerators():
            raise ValueError(f"{name!r} is not a GPU of the table", did_you_mean(name, accelerators()))
        return name


class OwnPrice(Section):
    """A price for a machine that can be rented, in place of the table's."""

    machine: str
    """Key of the machine, such as `aws:g5.xlarge`."""

    market: Literal["on-demand", "spot", "owned"] = "on-demand"
    """Which price it replaces."""

    usd_per_hour: Decimal = Field(ge=0)
    """US dollars for one machine and hour."""

    note: str = "agreed with the provider"
    """Where the price comes from."""

    date_read: date | None = None
    """When; by default the day the file was written."""


class ThisMachine(Section):
    """What this machine draws or costs."""

    watts: float | None = Field(None, gt=0)
    """What all of it draws under load."""

    usd_per_hour: Decimal | None = Field(None, ge=0)
    """What an hour of it costs, instead of electricity."""


class HardwareFile(Section):
    """The hardware file."""

    usd_per_kwh: Decimal | None = Field(None, ge=0)
    """Price of electricity; by default 0.17."""

    this_machine: ThisMachine = ThisMachine()
    """What this machine draws or costs."""

    machines: tuple[OwnMachine, ...] = ()
    """Machines of one's own."""

    prices: tuple[OwnPrice, ...] = ()
    """Prices in place of the table's."""

    @model_validator(mode="after")
    def _named_once(self) -> HardwareFile:
        names = [machine.name for machine in self.machines]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two machines are called {twice[0]!r}", "give each a name of its own")
        return self


def default_place() -> Path:
    """Where the file is looked for when none is named."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / PLACE


def read_user_file(path: Path) -> HardwareFile:
    """Read and validate the file. Raises RecipeError naming every line that is wrong."""
    return read_section(path, HardwareFile, "a hardware file", "see docs/plan.md")


def owned_machines(file: HardwareFile, path: Path) -> list[Machine]:
    """The machines that the file lists, and this one where it says what it costs."""
    day = _written(path)
    rate = file.usd_per_kwh if file.usd_per_kwh is not None else USD_PER_KWH
    found = []
    for own in file.machines:
        gpu = accelerators()[own.gpu] if own.gpu else None
        number = own.gpus if gpu else 0
        watts = own.watts if own.watts is not None else assumed_watts(own.cpus, gpu, number)
        said = f"{path.name}" if own.watts is not None and file.usd_per_kwh is not None else f"assumed, {path.name}"
        price = (
            electricity(watts, rate, day, said)
            if own.usd_per_hour is None
            else Price(own.usd_per_hour, "owned", day, path.name)
        )
        found.append(
            Machine(
                provider="owned",
                name=own.name,
                region="",
                accelerator=gpu,
                num_accelerators=number,
                cpus=own.cpus,
                memory_bytes=int(own.memory_gib * GIBIBYTE),
                network=own.network_gbit * 1e9 / 8,
                prices=(price,),
            )
        )
    here = file.this_machine
    fixed = None if here.usd_per_hour is None else Price(here.usd_per_hour, "owned", day, path.name)
    return [*found, this_machine(here.watts, file.usd_per_kwh, fixed)]


def with_own_prices(machines: list[Machine], file: HardwareFile, path: Path) -> list[Machine]:
    """The machines with the file's prices in place of theirs. Raises PlanError for a machine that is not known."""
    table = {machine.key: machine for machine in machines}
    for own in file.prices:
        if own.machine not in table:
            raise PlanError(
                f"there is no machine '{own.machine}'", where=f"{path}: prices", fix=did_you_mean(own.machine, table)
            )
        price = Price(own.usd_per_hour, own.market, own.date_read or _written(path), f"{own.note}, {path.name}")
        machine = table[own.machine]
        others = tuple(one for one in machine.prices if one.market != own.market)
        table[own.machine] = replace(machine, prices=(price, *others))
    return list(table.values())


def _written(path: Path) -> date:
    return date.fromtimestamp(path.stat().st_mtime)
