"""A sweep while it goes on: a line for each report, and the table at its end."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.table import Table

from tunesmith.plan.money import usd
from tunesmith.sweep.conductor import Conductor
from tunesmith.sweep.record import Trial

if TYPE_CHECKING:
    from rich.console import Console

WORDS = {
    "waiting": "not ended",
    "whole": "trained to its end",
    "early": "stopped early",
    "out-of-money": "stopped: the budget is spent",
    "broken": "broken",
}


class Show:
    """Writes to standard error what is told of the trials."""

    def __init__(self, conductor: Conductor, console: Console) -> None:
        self.conductor, self.console = conductor, console

    def told(self, trial: Trial, result: dict[str, Any]) -> None:
        """A trial has reported, or has ended."""
        spent, budget = self.conductor.spent, self.conductor.section.budget
        if "status" in result:
            said = WORDS[trial.status] + (f": {trial.problem}" if trial.problem else f", {usd(trial.usd)}")
        else:
            said = f"loss {result['loss']:.4f} at {result['share']:.0%}"
            if len(trial.reports) == 1:
                said += f" ({shown(trial)}; model ready after {result['load_seconds']:.1f} s)"
        text = f"{trial.name}: {said} | {usd(spent)} of {usd(budget)} spent{self._rest(budget - spent)}"
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _rest(self, left: Decimal) -> str:
        """How long what is left lasts."""
        rate = self.conductor.costs.usd_per_second * max(1, len(self.conductor.since))
        if left <= 0 or not rate:
            return ""
        minutes = float(left / rate) / 60
        return f", {minutes:.0f} minutes left at most" if minutes < 90 else f", {minutes / 60:.1f} hours left at most"

    def summary(self) -> None:
        """All trials, the best first."""
        table = Table("trial", "validation loss", "cost", "end", "settings")
        trials = self.conductor.record.trials.values()
        for trial in sorted(trials, key=lambda trial: trial.best.loss if trial.best else float("inf")):
            loss = f"{trial.best.loss:.4f}" if trial.best else "-"
            table.add_row(trial.name, loss, usd(trial.usd), WORDS[trial.status], shown(trial))
        self.console.print(table)


def shown(trial: Trial) -> str:
    """A configuration on one line."""
    return ", ".join(f"{name}={value}" for name, value in trial.config.items())
