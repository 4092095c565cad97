"""One retrain after the other, unattended: look, decide, drive, and look again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tunesmith.errors import StoreError, TrainError
from tunesmith.monitor.retrain.decide import Ruling
from tunesmith.monitor.retrain.drive import begin, decide, drive
from tunesmith.monitor.retrain.journal import Journal, Retrain, Taken
from tunesmith.monitor.retrain.situation import GOLDEN
from tunesmith.monitor.retrain.triggers.golden import EVERY_DAYS
from tunesmith.monitor.retrain.work import Work
from tunesmith.recipe.load import LoadedRecipe
from tunesmith.recipe.monitor import MonitorSection
from tunesmith.recipe.retrain import RetrainSection
from tunesmith.registry.registry import Registry
from tunesmith.store.clock import utc_now
from tunesmith.store.database import Database
from tunesmith.store.home import Home
from tunesmith.train.run import Stopped

if TYPE_CHECKING:
    from rich.console import Console

RELEASE_SECONDS = 5.0
"""How often an experiment is looked at while somebody watches: as often as gateways do."""


@dataclass
class Keeper:
    """What a command needs to retrain one recipe's name. Times are arguments, so that tests pin them.

    Without `create` nothing is made where there is no registry: NoDatabase says so.
    """

    loaded: LoadedRecipe
    home: Home
    console: Console
    in_process: bool = False
    create: bool = True
    now: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        self.database = Database.open(self.home.database_url, create=self.create)
        self.registry = Registry.open(self.home, create=self.create, now=self.now)
        self.journal = Journal(self.database, self.now)
        self.told: str | None = None
        self.looked: datetime | None = None

    @property
    def name(self) -> str:
        """The registered name."""
        return self.loaded.recipe.name

    def ruling(self, wish: str | None = None, write: bool = True) -> Ruling:
        """Whether it is time, written down with its evidence; begun where it is and `write` is set."""
        moment = self.now()
        ruling, around = decide(self.home, self.database, self.registry, self.journal, self.loaded, moment, wish)
        if write and ruling.start:
            begin(self.journal, self.registry, self.loaded, ruling, around)
        elif write:
            self.journal.decided(self.name, ruling.step(around))
        return ruling

    def go_on(self, wait: Callable[[str], bool]) -> Retrain | None:
        """Drive the one in flight; None where there is none. Raises Taken, TrainError, StoreError."""
        retrain = self.journal.in_flight(self.name)
        if retrain is None:
            return None
        work = Work(
            self.home, self.database, self.registry, self.journal, self.console, retrain, self.loaded, self.now,
            self.in_process,
        )  # fmt: skip
        return drive(work, wait)

    def once(self, wish: str | None = None) -> tuple[Retrain | None, Ruling | None]:
        """Go on with the one in flight as far as can be, or decide, and begin and drive one."""
        ruling = None
        if self.journal.in_flight(self.name) is None:
            self.evaluate_again()
            ruling = self.ruling(wish)
        return self.go_on(self._tell_and_leave), ruling

    def forever(self, wish: str | None = None, rounds: int | None = None) -> None:
        """Watch: look at traffic, decide, drive to the end, and again. What fails for a while is tried again; a stop of
        the training ends it."""
        while rounds is None or rounds > 0:
            try:
                if self.journal.in_flight(self.name) is None:
                    self._look()
                    ruling = self.ruling(wish)
                    self._tell(f"{'retraining' if ruling.start else 'no retrain'}: {ruling.reason}")
                    wish = None
                ended = self.go_on(self._tell_and_wait)
                if ended is not None and not ended.running:
                    self._tell(f"{ended.reference}: {ended.state.get('end')}: {ended.state.get('because')}")
            except Stopped as error:
                self._tell(str(error))
                return  # whoever stopped the training meant this command, too
            except (Taken, TrainError, StoreError) as error:
                self._tell(f"tried again later: {error}")
            rounds = None if rounds is None else rounds - 1
            if rounds != 0:
                self.sleep(self._every.total_seconds())

    def evaluate_again(self) -> None:
        """Where no trigger is named: look at traffic once a quarter, the golden set with it."""
        from tunesmith.monitor.findings import Findings

        triggers = (self.loaded.recipe.retrain or RetrainSection()).triggers
        if any(getattr(triggers, name) for name in ("schedule", "drift", "quality", "volume")):
            return
        last = Findings(self.database, self.now).latest(self.name).get(GOLDEN)
        if last is None or self.now() - last.at >= timedelta(days=EVERY_DAYS):
            self._look()

    def close(self) -> None:
        """Close the connections."""
        self.registry.close()
        self.database.close()

    @property
    def _every(self) -> timedelta:
        return timedelta(minutes=(self.loaded.recipe.monitor or MonitorSection()).every_minutes)

    def _look(self) -> None:
        """Everything that monitoring does once; without a `monitor` section there is nothing to look at."""
        self.looked = self.now()
        if self.loaded.recipe.monitor is None:
            return
        from tunesmith.monitor.look import look

        # The golden set is answered by the model itself: minutes, where there is no GPU.
        with self.console.status("looking at traffic") as status:
            look(
                self.home, self.loaded.recipe, self.now, self._tell,
                lambda what, done, total: status.update(f"{what} {done}/{total}"),
            )  # fmt: skip

    def _tell(self, text: str) -> None:
        if text != self.told:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)
            self.told = text

    def _tell_and_leave(self, reason: str) -> bool:
        self._tell(f"waits for: {reason}; the same command goes on from here, --watch stays")
        return False

    def _tell_and_wait(self, reason: str) -> bool:
        self._tell(f"waits for: {reason}")
        if self.looked is None or self.now() - self.looked >= self._every:
            self._look()
        self.sleep(RELEASE_SECONDS)
        return True
