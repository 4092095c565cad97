"""Decides over a sweep's trials: which comes next, whether one goes on, what each has cost. No Ray."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Protocol

from tunesmith.recipe.sweep import SweepSection
from tunesmith.sweep.purse import Purse
from tunesmith.sweep.record import Record, Report, Status, Trial
from tunesmith.sweep.schedule import scheduler_of
from tunesmith.sweep.searchers import Tried, searcher_of
from tunesmith.sweep.seeds import Seeds
from tunesmith.sweep.space import Config

FEW = 128
"""Configurations that are asked for what the dearest costs."""

CENT = Decimal("1e-9")
"""Dollars are kept to so much."""


class Costs(Protocol):
    """What configurations cost: see `sweep.costs.Costs`."""

    usd_per_second: Decimal

    def whole(self, config: Config) -> Decimal: ...

    def learn(self, config: Config, usd: Decimal, share: float) -> None: ...


class Conductor:
    """Goes on from what the record holds: trials that have ended are not done again, others come first.

    `folder_of` names the run folder that a configuration trains in; `clock` gives seconds; `first_seed` is the
    recipe's own.
    """

    def __init__(
        self,
        section: SweepSection,
        record: Record,
        costs: Costs,
        folder_of: Callable[[Config], str],
        clock: Callable[[], float] = time.monotonic,
        first_seed: int = 0,
    ) -> None:
        self.section, self.record, self.costs, self.folder_of, self.clock = section, record, costs, folder_of, clock
        self.seeds = Seeds(section.seeds, first_seed)
        self.purse = Purse(section.budget)
        self.searcher = searcher_of(section)
        self.searcher.outlook.forecast = costs.whole
        self.since: dict[str, tuple[float, Decimal]] = {}
        self.to_end: set[str] = set()
        self._some = self.searcher.space.some(FEW)
        self.scheduler = scheduler_of(section.scheduler, Decimal(1), self._expected)
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
        """The next trial, begun; None when nothing is left that fits and is worth it, for now or at all.

        Those broken off go first, then other seeds of what came to its end, then those that rest but are now among the
        best of their rung, then new ones, and when there are none that fit, the resting ones that may still become the
        best (see `running`).
        """
        if self.purse.is_empty:
            return None
        trial = self._unfinished() or self._other_seed() or self._promoted() or self._new() or self._last_call()
        if trial is None:
            return None
        if trial.status == "early":
            self.searcher.again(trial.name)
        self.record.started(trial.name)
        self._set_aside(trial, self.costs.whole(trial.config))
        self.since[trial.name] = (self.clock(), trial.usd)
        return trial

    def report(self, name: str, step: int, loss: float, share: float) -> Status | None:
        """Take a trial's validation loss; returns why it must stop, or None when it goes on."""
        trial, usd = self.record.trials[name], self.usd(name)
        self.record.reported(name, Report(step, loss, usd, share))
        self.purse.pay(name, usd)
        self.searcher.tell(name, loss, usd, share, ended=False)
        if share > 0:
            self.costs.learn(trial.config, usd, share)
        self._rebase()
        decision = self.scheduler.decide(trial.name, usd, loss)
        self._set_aside(trial, usd / Decimal(str(share)) if share > 0 else self.costs.whole(trial.config))
        if share >= 1:
            return None
        if self.purse.is_empty:
            return "out-of-money"
        return "early" if decision == "stop" and name not in self.to_end else None

    def end(self, name: str, status: Status, problem: str | None = None) -> None:
        """A trial has left the machine."""
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
        """Of the trials trained to their end the one with the lowest loss, each dollar counted as the recipe says.

        With several seeds, of the configuration with the lowest mean.
        """
        return self.seeds.best(self.record.trials.values(), lambda trial: self._worth(_loss(trial), trial.usd))

    def _other_seed(self) -> Trial | None:
        """The next seed of a configuration that came to its end, if it fits."""
        for plain, config in self.seeds.missing(self.record.trials.values()):
            if self.costs.whole(plain) <= self.purse.left:
                name = self._next_name()
                self.searcher.tried[name] = Tried(plain)
                self.to_end.add(name)
                return self.record.chosen(name, config, self.folder_of(config), self.costs.whole(config))
        return None

    def _next_name(self) -> str:
        return f"trial-{len(self.record.trials) + 1:03d}"

    def _unfinished(self) -> Trial | None:
        waiting = (t for t in self.record.trials.values() if t.status == "waiting" and t.name not in self.since)
        return next(waiting, None)

    def _promoted(self) -> Trial | None:
        resting = [trial.name for trial in self._resting()]
        best = next(iter(self._hopeful()), None)
        for name in self.scheduler.resumable(resting):
            trial = self.record.trials[name]
            reserve = Decimal(0) if trial is best else self._to_finish(best)
            if self._to_next_stop(trial) + reserve <= self.purse.left:
                return trial
        return None

    def _new(self) -> Trial | None:
        """A configuration not tried yet: it must fit as a whole, and what the best so far needs beside its start."""
        name = self._next_name()
        first = self.scheduler.next_stop(name)
        hope = next(iter(self._hopeful()), None)
        if hope and math.isfinite(first) and Decimal(str(first)) + self._to_finish(hope) > self.purse.left:
            return None
        config = self.searcher.suggest(
            name, self.purse.left, self.costs.whole, lambda config: min(self.costs.whole(config), Decimal(str(first)))
        )
        if config is None:
            return None
        return self.record.chosen(name, config, self.folder_of(config), self.costs.whole(config))

    def _last_call(self) -> Trial | None:
        """Of those that rest and may become the best, the one expected to end best whose rest fits."""
        for trial in self._hopeful():
            if self._to_finish(trial) <= self.purse.left:
                self.to_end.add(trial.name)
                return trial
        return None

    def _resting(self) -> list[Trial]:
        """Trials that were stopped and may be called again, in the order they were chosen."""
        if not self.scheduler.rests:
            return []
        stopped = (trial for trial in self.record.trials.values() if trial.status == "early")
        return [trial for trial in stopped if trial.name not in self.since and math.isfinite(_loss(trial))]

    def _hopeful(self) -> list[Trial]:
        """Those that rest and may end better than what there is, by a standard deviation; the best expected first."""
        winner = self.winner()
        to_beat = self._worth(_loss(winner), winner.usd) if winner else math.inf
        found = []
        for trial in self._resting():
            known = self.searcher.outlook.final(self.searcher.tried, trial.name)
            expected, deviation = known or (_loss(trial), 0.0)
            worth = self._worth(expected, self.costs.whole(trial.config))
            if worth - deviation < to_beat:
                found.append((worth, trial))
        return [trial for _, trial in sorted(found, key=lambda pair: pair[0])]

    def _worth(self, loss: float, usd: Decimal) -> float:
        """A loss, each dollar of its training counted as the recipe says. Less is better."""
        return loss + self.section.objective.usd_weight * float(usd)

    def _expected(self, name: str, loss: float) -> float:
        """The loss that a trial is expected to end with; what was seen while nothing better is known."""
        known = self.searcher.outlook.final(self.searcher.tried, name)
        return known[0] if known else loss

    def _to_finish(self, trial: Trial | None) -> Decimal:
        """Dollars that a resting trial needs until its end."""
        return max(self.costs.whole(trial.config) - trial.usd, Decimal(0)) if trial else Decimal(0)

    def _to_next_stop(self, trial: Trial) -> Decimal:
        stop = min(self.scheduler.next_stop(trial.name), float(self.costs.whole(trial.config)))
        return max(Decimal(str(stop)) - trial.usd, Decimal(0))

    def _set_aside(self, trial: Trial, whole: Decimal) -> None:
        """Keep dollars for a trial until it is next compared, or until its end where that comes first."""
        stop = math.inf if trial.name in self.to_end else self.scheduler.next_stop(trial.name)
        self.purse.set_aside_for(trial.name, max(min(whole, Decimal(str(stop))), trial.usd))

    def _settle(self, trial: Trial) -> None:
        self.purse.settle(trial.name)
        last = trial.reports[-1] if trial.reports else None
        if trial.status == "whole":
            self.scheduler.ended(trial.name)
            self.costs.learn(trial.config, trial.usd, 1.0)
        loss = last.loss if last and trial.status != "broken" else float("nan")
        self.searcher.tell(trial.name, loss, trial.usd, last.share if last else 0.0)

    def _remember(self) -> None:
        """Bring searcher, scheduler and purse to where the record stands."""
        self.searcher.tried = {
            name: Tried(self.seeds.plain(trial.config), [(r.loss, float(r.usd), r.share) for r in trial.reports])
            for name, trial in self.record.trials.items()
        }
        for trial in self.record.trials.values():
            if trial.reports:
                self.costs.learn(trial.config, trial.reports[-1].usd, trial.reports[-1].share)
        self._rebase()
        for trial in self.record.trials.values():
            self.purse.pay(trial.name, trial.usd)
            for report in trial.reports:
                self.scheduler.decide(trial.name, report.usd, report.loss)
            if trial.status != "waiting":
                self._settle(trial)

    def _rebase(self) -> None:
        """Rungs are shares of what the dearest configuration is expected to cost."""
        self.scheduler.rebase(max(self.costs.whole(config) for config in self._some))


def _loss(trial: Trial) -> float:
    return trial.best.loss if trial.best else float("inf")
