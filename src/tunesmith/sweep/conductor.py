"""Decides over a sweep's trials: which comes next, whether one goes on, what each has cost. No Ray."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Protocol

from tunesmith.recipe.sweep import SweepSection
from tunesmith.sweep.purse import Purse
from tunesmith.sweep.record import Record, Report, Status, Trial
from tunesmith.sweep.schedule import scheduler_of
from tunesmith.sweep.searchers import Tried, searcher_of
from tunesmith.sweep.space import Config

CENT = Decimal("1e-9")
"""Dollars are kept to so much."""


class Costs(Protocol):
    """What configurations cost: see `sweep.costs.Costs`."""

    usd_per_second: Decimal

    def whole(self, config: Config) -> Decimal: ...

    def learn(self, config: Config, usd: Decimal) -> None: ...


class Conductor:
    """Goes on from what the record holds: trials that have ended are not done again, others come first.

    `folder_of` names the run folder that a configuration trains in; `clock` gives seconds.
    """

    def __init__(
        self,
        section: SweepSection,
        record: Record,
        costs: Costs,
        folder_of: Callable[[Config], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.section, self.record, self.costs, self.folder_of, self.clock = section, record, costs, folder_of, clock
        self.purse = Purse(section.budget)
        self.searcher = searcher_of(section)
        self.since: dict[str, tuple[float, Decimal]] = {}
        self.scheduler = scheduler_of(section.scheduler, Decimal(1))
        self._remember()

    @property
    def spent(self) -> Decimal:
        """US dollars of all trials, until their last report or end."""
        return self.purse.spent

    @property
    def running(self) -> bool:
        """Whether any trial holds a part of the machine."""
        return bool(self.since)

    def next(self) -> Trial | None:
        """The next trial, begun; None when nothing is left to try that fits, for now or at all (see `running`)."""
        if self.purse.is_empty:
            return None
        trial = self._unfinished() or self._new()
        if trial is None:
            return None
        self.purse.set_aside_for(trial.name, max(self.costs.whole(trial.config), trial.usd))
        self.record.started(trial.name)
        self.since[trial.name] = (self.clock(), trial.usd)
        return trial

    def report(self, name: str, step: int, loss: float, share: float) -> Status | None:
        """Take a trial's validation loss; returns why it must stop, or None when it goes on."""
        trial, usd = self.record.trials[name], self.usd(name)
        self.record.reported(name, Report(step, loss, usd, share))
        self.purse.pay(name, usd)
        self.searcher.tell(name, loss, usd, share, ended=False)
        if share > 0:
            self.purse.set_aside_for(name, usd / Decimal(str(share)))
        self._rebase()
        decision = self.scheduler.decide(trial.name, usd, loss)
        if share >= 1:
            return None
        if self.purse.is_empty:
            return "out-of-money"
        return "early" if decision == "stop" else None

    def end(self, name: str, status: Status, problem: str | None = None) -> None:
        """A trial has left the machine, for good."""
        usd = self.usd(name)
        self.since.pop(name, None)
        self.record.ended(name, status, usd, problem)
        self.purse.pay(name, usd)
        self._settle(self.record.trials[name])

    def usd(self, name: str) -> Decimal:
        """What a trial has cost until now."""
        if name not in self.since:
            return self.record.trials[name].usd
        began, before = self.since[name]
        return (before + Decimal(str(self.clock() - began)) * self.costs.usd_per_second).quantize(CENT)

    def winner(self) -> Trial | None:
        """Of the trials trained to their end the one with the lowest loss, each dollar counted as the recipe says."""
        weight = self.section.objective.usd_weight
        whole = [trial for trial in self.record.trials.values() if trial.status == "whole" and trial.best]
        return min(whole, key=lambda trial: _loss(trial) + weight * float(trial.usd), default=None)

    def _unfinished(self) -> Trial | None:
        waiting = (t for t in self.record.trials.values() if t.status == "waiting" and t.name not in self.since)
        return next(waiting, None)

    def _new(self) -> Trial | None:
        name = f"trial-{len(self.record.trials) + 1:03d}"
        config = self.searcher.suggest(name, self.purse.left, self.costs.whole)
        if config is None:
            return None
        return self.record.chosen(name, config, self.folder_of(config), self.costs.whole(config))

    def _settle(self, trial: Trial) -> None:
        self.purse.settle(trial.name)
        last = trial.reports[-1] if trial.reports else None
        if trial.status == "whole":
            self.scheduler.ended(trial.name)
            self.costs.learn(trial.config, trial.usd)
        loss = last.loss if last and trial.status != "broken" else float("nan")
        self.searcher.tell(trial.name, loss, trial.usd, last.share if last else 0.0)

    def _remember(self) -> None:
        """Bring searcher, scheduler and purse to where the record stands."""
        tried = {
            name: Tried(trial.config, [(r.loss, float(r.usd), r.share) for r in trial.reports])
            for name, trial in self.record.trials.items()
        }
        state = self.searcher.state() | {"tried": {}}
        if "budget" in state and tried:
            state["budget"] = str(self.section.budget)
        self.searcher.restore(state)
        self.searcher.tried = tried
        for trial in self.record.trials.values():
            self.purse.pay(trial.name, trial.usd)
            for report in trial.reports:
                self.scheduler.decide(trial.name, report.usd, report.loss)
            if trial.status != "waiting":
                self._settle(trial)
        self._rebase()

    def _rebase(self) -> None:
        """A typical trial costs what those tried so far are expected to cost, the middle one of them."""
        usual = sorted(self.costs.whole(trial.config) for trial in self.record.trials.values())
        if usual:
            self.scheduler.rebase(usual[len(usual) // 2])


def _loss(trial: Trial) -> float:
    return trial.best.loss if trial.best else float("inf")
