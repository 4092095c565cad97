"""What the steps of a retrain work with, and what they hand back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import RegistryError, StoreError
from tunesmith.experiment.promote import CHAMPION
from tunesmith.monitor.live import live_version
from tunesmith.monitor.retrain import copies
from tunesmith.monitor.retrain.derive import RECIPE
from tunesmith.monitor.retrain.journal import Journal, Retrain
from tunesmith.recipe.load import LoadedRecipe, load_recipe
from tunesmith.recipe.retrain import RetrainSection
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import Version
from tunesmith.store.clock import utc_now
from tunesmith.store.database import Database
from tunesmith.store.home import Home

if TYPE_CHECKING:
    from rich.console import Console

    from tunesmith.train.job import TrainResult
    from tunesmith.train.run import Planned

FINISH = "finish"
WHO = "tunesmith retrain"
"""Who a change is put down to."""


@dataclass(frozen=True)
class Result:
    """What a step came to. `following` is the step after it; `changes` go into the retrain's state."""

    verdict: str
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    following: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None

    @classmethod
    def stop(cls, reason: str, evidence: Mapping[str, Any] | None = None, verdict: str = "fail") -> Result:
        """A step after which the retrain ends, with the champion as it is."""
        return cls(verdict, reason, evidence or {}, FINISH, {"outcome": "stopped", "because": reason})


@dataclass(frozen=True)
class Waiting:
    """Nothing can be done now; what is waited for."""

    reason: str


@dataclass
class Work:
    """One retrain, and everything it is done with. `loaded` is the user's recipe; None where the retrain is only
    to be ended."""

    home: Home
    database: Database
    registry: Registry
    journal: Journal
    console: Console
    retrain: Retrain
    loaded: LoadedRecipe | None
    now: Callable[[], datetime] = utc_now
    in_process: bool = False
    begun: str | None = None

    @property
    def name(self) -> str:
        """The registered name."""
        return self.retrain.name

    @property
    def given(self) -> LoadedRecipe:
        """The user's recipe. Raises RuntimeError where none was given."""
        if self.loaded is None:
            raise RuntimeError("a retrain that is only to be ended has no recipe")
        return self.loaded

    @property
    def folder(self) -> Path:
        """Where its rows, its recipe and its answers lie."""
        return copies.folder_of(self.home, self.name, self.retrain.number)

    @cached_property
    def own(self) -> LoadedRecipe:
        """The recipe that is trained, as it was written when the rows were gathered, with its rows beside it.

        Raises StoreError where they are neither on this machine nor beside the artefacts.
        """
        copies.fetch(self.home, self.name, self.retrain.number)
        if not (self.folder / RECIPE).is_file():
            raise StoreError(
                f"what {self.retrain.reference} learns from is not on this machine, nor beside the artefacts",
                where=str(self.folder),
                fix="go on where it began; with artefacts in an object store any machine goes on; or end it: "
                f"`tunesmith retrain stop {self.name}`",
            )
        return load_recipe(self.folder / RECIPE)

    @cached_property
    def section(self) -> RetrainSection:
        """What it is held to: as the recipe said when it began."""
        return RetrainSection.model_validate(self.retrain.state["section"])

    @cached_property
    def planned(self) -> Planned:
        """The run, checked, with its dataset version made. Raises TunesmithError."""
        from tunesmith.train.run import plan_run

        return plan_run(self.own, self.home, self.console)

    @property
    def result(self) -> TrainResult:
        """What training came to. A run whose folder was lost with its machine goes on from its last checkpoint, or is
        trained again. Raises TrainError."""
        from tunesmith.train.job import read_result
        from tunesmith.train.run import train

        return read_result(self.planned.job.folder) or train(self.planned, self.console, self.in_process)

    @property
    def champion(self) -> Version:
        """The version that was live when it began."""
        return self.version(str(self.retrain.state["champion"]))

    def version(self, reference: str) -> Version:
        """A registered version. Raises RegistryError."""
        return self.registry.resolve(reference)

    def champion_now(self) -> str | None:
        """What the alias points at now."""
        return champion_of(self.registry, self.name)

    def say(self, text: str) -> None:
        """Tell the user."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def champion_of(registry: Registry, name: str) -> str | None:
    """`name@N` that the champion alias points at; None where it is not set."""
    pointing = {alias.alias: alias.number for alias in registry.aliases(name)}
    return f"{name}@{pointing[CHAMPION]}" if CHAMPION in pointing else None


def champion_to_beat(registry: Registry, name: str) -> Version:
    """What clients of a name get now. Raises RegistryError where there is none, or only versions that have failed."""
    version = live_version(registry, name)
    if version.verdict == "failed" and champion_of(registry, name) is None:
        raise RegistryError(
            f"no version of '{name}' has passed its gate, so there is no live one to do better than", where=name,
            fix="run `tunesmith run RECIPE` until one does, or `tunesmith registry alias NAME champion N --force`",
        )  # fmt: skip
    return version


def pin_champion(registry: Registry, version: Version) -> None:
    """Set the alias to the live version, where there is none.

    Without it a bare name means the newest version that passed: registering a new one would put it in front of users
    past every experiment.
    """
    if champion_of(registry, version.name) is None:
        why = "what the name means now, until a retrained version wins its place"
        registry.move_alias(version.name, CHAMPION, version.number, WHO, why, expected=None)
