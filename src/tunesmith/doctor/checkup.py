"""The whole check-up: machine, GPUs, packages, places, and what follows from them."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Any

from tunesmith.doctor.packages import CORE, Part, look_at_packages
from tunesmith.doctor.places import PlaceReport, look_at_database, look_at_home
from tunesmith.plan.catalog.gpus import GpuReport, look_at_gpus
from tunesmith.plan.catalog.system import System, look_at_system
from tunesmith.store.home import Home, find_home

OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True)
class Ability:
    """Something Tunesmith does: whether it can be done here, and what it takes or is like."""

    name: str
    works: bool
    note: str


@dataclass(frozen=True)
class Checkup:
    """Everything the doctor saw."""

    machine: System
    gpus: GpuReport
    parts: tuple[Part, ...]
    home: PlaceReport
    database: PlaceReport

    @property
    def problems(self) -> list[str]:
        """What stops even the slim core: one sentence each, with what to do."""
        found = []
        if sys.version_info < OLDEST_PYTHON:
            found.append(f"Python {self.machine.python} is too old: use {'.'.join(map(str, OLDEST_PYTHON))} or newer")
        for part in self.parts:
            if part.name == CORE and part.lacking:
                found.append(f"{', '.join(one.name for one in part.lacking)} missing or too old: {part.command}")
        for name, place in (("home folder", self.home), ("database", self.database)):
            if not place.works:
                found.append(f"{name} {place.shown}: {place.state}; {place.fix}")
        return found

    @property
    def abilities(self) -> list[Ability]:
        """What can be done here, by the verbs of the command line."""
        lacking = {part.name: part for part in self.parts if part.lacking}
        where = self._where()
        needs = (
            ("recipe, registry", CORE, ""),
            ("data, train, evaluate, run, chat", "train", where),
            ("mirror metrics to MLflow", "track", ""),
            ("registry in PostgreSQL", "postgres", ""),
        )
        known = {part.name for part in self.parts}
        return [
            Ability(name, part not in lacking, lacking[part].command if part in lacking else note)
            for name, part, note in needs
            if part in known
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        parts = {
            part.name: {
                "complete": not part.lacking,
                "command": part.command,
                "packages": [asdict(one) | {"fits": one.fits, "command": one.command} for one in part.packages],
            }
            for part in self.parts
        }
        return {
            "machine": asdict(self.machine),
            "gpus": [asdict(gpu) | {"has_bf16": gpu.has_bf16} for gpu in self.gpus.gpus],
            "gpu_problem": self.gpus.problem,
            "parts": parts,
            "home": asdict(self.home),
            "database": asdict(self.database),
            "abilities": [asdict(ability) for ability in self.abilities],
            "problems": self.problems,
        }

    def _where(self) -> str:
        gpus = self.gpus.gpus
        if gpus:
            return f"on {len(gpus)} GPU{'s' if len(gpus) > 1 else ''}, {self._precision()}"
        return f"on {self.machine.cores} CPU core{'s' if self.machine.cores > 1 else ''}, {self._precision()}"

    def _precision(self) -> str:
        gpus = self.gpus.gpus
        fast = all(gpu.has_bf16 for gpu in gpus) if gpus else bool(self.machine.bf16)
        return "in bfloat16" if fast else "in float32: there is no fast bfloat16"


def check_up(home: Home | None = None) -> Checkup:
    """Look at everything; nothing is made or changed."""
    home = home or find_home()
    return Checkup(
        machine=look_at_system(home.folder),
        gpus=look_at_gpus(),
        parts=look_at_packages(),
        home=look_at_home(home),
        database=look_at_database(home),
    )
