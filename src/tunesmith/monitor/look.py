"""One round of watching: everything is looked at once, and what was found is written down."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from tunesmith.errors import TunesmithError
from tunesmith.experiment.book import Book
from tunesmith.monitor.corrections import measure
from tunesmith.monitor.drift_rules import watch_inputs
from tunesmith.monitor.findings import Finding, Findings
from tunesmith.monitor.golden.evaluate import evaluate_golden, is_due
from tunesmith.monitor.golden.measure import Report
from tunesmith.monitor.health_rules import watch_health
from tunesmith.monitor.live import live_version
from tunesmith.monitor.quality.watch import watch_quality
from tunesmith.recipe.monitor import MonitorSection
from tunesmith.recipe.retrain import RetrainSection
from tunesmith.recipe.schema import Recipe
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import Version
from tunesmith.store.clock import utc_now
from tunesmith.store.database import Database
from tunesmith.store.home import Home

LATE = timedelta(days=1)
"""A correction may be in the database before its request is in the log."""

log = logging.getLogger(__name__)


def look(
    home: Home,
    recipe: Recipe,
    now: Callable[[], datetime] = utc_now,
    tell: Callable[[str], None] = log.warning,
    report: Report = lambda what, done, of: None,
) -> list[Finding]:
    """Look at drift, quality and health of a recipe's name since the last time, and at the golden set when it is time.

    Where each rule stopped is known from what it found: nothing is looked at twice, and a look that was killed is made
    again. What is found by one part is written down before the next begins; a part that cannot be looked at is told of,
    and the others are. Raises RegistryError for a name that nothing is registered under, StoreError.
    """
    settings = recipe.monitor or MonitorSection()
    registry = Registry.open(home, create=False, now=now)
    try:
        version = live_version(registry, recipe.name)
    finally:
        registry.close()
    database = Database.open(home.database_url)
    try:
        return _Round(home, database, version, settings, recipe, now(), tell, report).look()
    finally:
        database.close()


class _Round:
    """What the parts of a round have in common."""

    def __init__(
        self,
        home: Home,
        database: Database,
        version: Version,
        settings: MonitorSection,
        recipe: Recipe,
        moment: datetime,
        tell: Callable[[str], None],
        report: Report,
    ) -> None:
        self.home, self.database, self.version, self.settings = home, database, version, settings
        self.moment, self.tell, self.report = moment, tell, report
        self.goal = (recipe.retrain or RetrainSection()).release.goal
        self.usd_per_hour = recipe.serve.usd_per_hour if recipe.serve is not None else None
        self.findings = Findings(database, lambda: moment)
        _, self.last = self.findings.newest(version.name)

    def look(self) -> list[Finding]:
        """All parts, one after the other."""
        found: list[Finding] = []
        parts = {
            "inputs": self.inputs, "answers": self.answers, "health": self.health, "the golden set": self.golden,
        }  # fmt: skip
        for what, part in parts.items():
            self.report(f"looking at {what}", 0, 1)
            try:
                before, _ = self.findings.newest(self.version.name)
                more = part()
                if self.findings.note(more, unless_after=before):
                    found += more
                else:
                    self.tell(f"{what} of {self.version.name}: somebody else has looked at the same time")
            except (TunesmithError, ImportError) as error:
                self.tell(f"{what} of {self.version.name} cannot be looked at: {error}")
        return found

    def inputs(self) -> list[Finding]:
        """Whether what is asked is still what was trained on."""
        oldest = self.moment - timedelta(days=self.settings.traffic.retention_days)
        return watch_inputs(self.home, self.findings, self.version, self.settings.drift, self.moment, oldest)

    def answers(self) -> list[Finding]:
        """Whether answers got worse, by what is said of them."""
        # What could not be measured then, because the log did not have it, is not looked for again and again.
        measure(self.database, self.home, self.version.name, self.last and self.last - LATE)
        running = [one for one in Book(self.database).running() if one.name == self.version.name]
        goals = {self.goal, *(goal.name for one in running for goal in one.goals)}
        return watch_quality(self.database, self.findings, self.version.name, self.settings.quality, self.moment, goals)

    def health(self) -> list[Finding]:
        """How the endpoint does."""
        return watch_health(self.home, self.database, self.findings, self.version.name, self.moment, self.usd_per_hour)

    def golden(self) -> list[Finding]:
        """The live version on its golden set, where it is time."""
        if not is_due(self.findings, self.version, self.settings):
            return []
        self.tell(f"{self.version.reference} is evaluated on its golden set: minutes, where there is no GPU")
        return [
            evaluate_golden(
                self.home, self.database, self.findings, self.version, self.settings, self.moment, self.report
            )
        ]
