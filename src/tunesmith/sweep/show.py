"""A sweep while it goes on: a line for each report, and the table at its end."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.live import Live
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
    """Writes to standard error what is told of the trials: a table that lives on a terminal, a line each elsewhere."""

    def __init__(self, conductor: Conductor, console: Console) -> None:
        self.conductor, self.console = conductor, console
        self.live = Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Show:
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()

    def told(self, trial: Trial, result: dict[str, Any]) -> None:
        """A trial has reported, or has ended."""
        if self.live:
            self.live.update(self._table(self._money()), refresh=True)
            return
        if "status" in result:
            said = WORDS[trial.status] + (f": {trial.problem}" if trial.problem else f", {usd(trial.usd)}")
        else:
            said = f"loss {result['loss']:.4f} at {result['share']:.0%}"
            if len(trial.reports) == 1:
                said += f" ({shown(trial)}; model ready after {result['load_seconds']:.1f} s)"
        text = f"{trial.name}: {said} | {self._money()}"
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def summary(self) -> None:
        """All trials, the best first."""
        self.console.print(self._table())

    def _money(self) -> str:
        """Spent and left, and how long that lasts."""
        spent, budget = self.conductor.spent, self.conductor.section.budget
        said = f"{usd(spent)} of {usd(budget)} spent"
        rate = self.conductor.costs.usd_per_second * max(1, len(self.conductor.since))
        if spent >= budget or not rate:
            return said
        minutes = float((budget - spent) / rate) / 60
        return said + (f", {minutes:.0f} minutes" if minutes < 90 else f", {minutes / 60:.1f} hours") + " left at most"

    def _table(self, caption: str | None = None) -> Table:
        table = Table("trial", "validation loss", "trained", "cost", "end", "settings", caption=caption)
        table.columns[-1].overflow = "fold"
        trials = self.conductor.record.trials.values()
        for trial in sorted(trials, key=lambda trial: trial.best.loss if trial.best else float("inf")):
            loss = f"{trial.best.loss:.4f}" if trial.best else "-"
            share = f"{trial.reports[-1].share:.0%}" if trial.reports else "-"
            end = "training" if trial.name in self.conductor.since else WORDS[trial.status]
            table.add_row(trial.name, loss, share, usd(trial.usd), end, shown(trial))
        return table


def shown(trial: Trial) -> str:
    """A configuration on one line."""
    return ", ".join(f"{name}={value}" for name, value in trial.config.items())
