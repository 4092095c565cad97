"""What there is to train on and what it costs: our table, offers of today, and over both the user's own file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tunesmith.errors import PlanError, did_you_mean
from tunesmith.plan.catalog.here import PROVIDER, this_machine
from tunesmith.plan.catalog.table import accelerators, cpu_machines, machines
from tunesmith.plan.hardware import Accelerator, Machine

__all__ = ["Catalog", "load_catalog", "this_machine"]


@dataclass(frozen=True)
class Catalog:
    """Machines by key. `here` is the one this process runs on; `without_gpus` are for heads, not for runs."""

    machines: tuple[Machine, ...]
    here: Machine
    without_gpus: tuple[Machine, ...] = ()

    def machine(self, key: str) -> Machine:
        """The machine called `aws:g5.xlarge`, `owned:NAME` or `here`. Raises PlanError naming the nearest."""
        if key == PROVIDER or key == self.here.key:
            return self.here
        table = {machine.key: machine for machine in self.machines}
        if key not in table:
            raise PlanError(f"there is no machine '{key}'", where="resources.machine", fix=did_you_mean(key, table))
        return table[key]

    def rented(self, key: str) -> Machine | None:
        """Any machine of a cloud, those without GPUs too; None where it is not in the table."""
        return next((machine for machine in (*self.machines, *self.without_gpus) if machine.key == key), None)

    def accelerator(self, name: str) -> Accelerator:
        """A GPU by its name in the table. Raises PlanError naming the nearest."""
        if name not in accelerators():
            raise PlanError(f"there is no GPU '{name}' in the table", fix=did_you_mean(name, accelerators()))
        return accelerators()[name]


def load_catalog(user_file: Path | None = None, live: bool = False) -> Catalog:
    """The table, with `live` offers over it, and over both the user's file: the one named, or the one in its place.

    Raises RecipeError for a file that cannot be read, PlanError where live offers cannot be had.
    """
    from tunesmith.plan.catalog.user_file import default_place, owned_machines, read_user_file, with_own_prices

    known = list(machines())
    if live:
        from tunesmith.plan.catalog.live import live_machines

        offered = {machine.key: machine for machine in live_machines(known)}
        known = [offered.pop(machine.key, machine) for machine in known] + list(offered.values())
    path = user_file or default_place()
    if user_file is None and not path.is_file():
        return Catalog(tuple(known), this_machine(), cpu_machines())
    file = read_user_file(path)
    *owned, here = owned_machines(file, path)
    priced = with_own_prices([*owned, *known, *cpu_machines()], file, path)
    first = len(priced) - len(cpu_machines())
    return Catalog(tuple(priced[:first]), here, tuple(priced[first:]))
