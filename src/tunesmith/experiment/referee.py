"""Reads an experiment, decides, and acts: rolls back what breaks its rules, goes up a step, promotes where it may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from tunesmith.experiment.book import Book, promoted, rolled_back
from tunesmith.experiment.decision import Decision, decide
from tunesmith.experiment.evidence import Evidence, gather
from tunesmith.experiment.experiment import CONTROL, Experiment
from tunesmith.experiment.guardrail import Count, Ruling, judge
from tunesmith.experiment.mismatch import mismatch_p
from tunesmith.store.clock import utc_now
from tunesmith.store.database import Database

WHO = "tunesmith"
"""Who a change is put down to that nobody made by hand."""


@dataclass(frozen=True)
class Standing:
    """An experiment, read: a decision and the rulings for each variant besides the control."""

    experiment: Experiment
    evidence: Evidence
    decisions: dict[str, Decision]
    rulings: dict[str, tuple[Ruling, ...]]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "experiment": self.experiment.model_dump(mode="json"),
            "users": self.evidence.users,
            "decisions": {name: one.to_json() for name, one in self.decisions.items()},
            "rulings": {name: [asdict(ruling) for ruling in found] for name, found in self.rulings.items()},
        }


def stand(database: Database, experiment: Experiment) -> Standing:
    """Read everything there is of an experiment; nothing is changed."""
    evidence = gather(database, experiment)
    shares = mismatch_p(evidence.strata(experiment))
    decisions, rulings = {}, {}
    for name in experiment.treatments:
        rulings[name] = _rulings(experiment, evidence, name)
        decisions[name] = decide(
            [goal.metric() for goal in experiment.goals],
            {goal: by[name] for goal, by in evidence.samples.items()},
            # Every treatment is compared with the one control: they share the chance of an error.
            experiment.alpha / len(experiment.treatments),
            experiment.planned_users,
            experiment.minimum_users,
            shares,
            [ruling.reason for ruling in rulings[name] if ruling.broken],
        )
    return Standing(experiment, evidence, decisions, rulings)


def referee(
    database: Database,
    experiment: Experiment,
    promote: Callable[[Experiment, str, str], None],
    now: Callable[[], datetime] = utc_now,
) -> Experiment:
    """Read an experiment that runs and do what follows. Several may do so at once: what is done is done once.

    A broken guardrail, or a metric that is worse, rolls back. A canary whose step has lasted goes up by one. With
    `decides_itself` a variant that is better is promoted: `promote` moves the alias.
    """
    standing, book = stand(database, experiment), Book(database, now)
    for name, decision in standing.decisions.items():
        if decision.verdict == "roll back":
            reason = f"{name}: {decision.reason}"
            return book.change(experiment.id, partial(rolled_back, reason=reason), WHO, "rollback", reason)
        # No alias can point at a prompt: that one is for people to promote.
        has_version = experiment.variants[name].version is not None
        if decision.verdict == "promote" and experiment.decides_itself and has_version:
            reason = f"{name}: {decision.reason}"
            promote(experiment, name, reason)
            make = partial(promoted, variant=name, reason=reason)
            return book.change(experiment.id, make, WHO, "promote", reason)
    return _step(book, experiment, now())


def _rulings(experiment: Experiment, evidence: Evidence, name: str) -> tuple[Ruling, ...]:
    mine, control = (evidence.counts.get(one, {}) for one in (name, CONTROL))
    rules = experiment.rules
    share = max(1, len(experiment.treatments))
    return tuple(
        judge(
            replace(rule.guardrail(), alpha=rule.alpha / share),
            mine.get(rule.watched, Count(0, 0)),
            control.get(rule.watched),
        )
        for rule in rules
    )


def _step(book: Book, experiment: Experiment, now: datetime) -> Experiment:
    """The next canary step, when the one of now has lasted as long as it should."""
    if experiment.stage != "canary" or experiment.step_hours is None:
        return experiment
    since = datetime.fromisoformat(book.history(experiment.id)[-1]["at"])
    if now - since < timedelta(hours=experiment.step_hours):
        return experiment
    share = 100 - experiment.weights[CONTROL]
    following = next((step for step in experiment.steps if step > share + 1e-9), None)

    def up(one: Experiment) -> Experiment | None:
        if one.revision != experiment.revision:
            return None  # somebody was quicker
        if following is None:
            return one.model_copy(update={"stage": "ab"})
        return one.with_share(following)

    why = f"{experiment.step_hours:g} hours without a breach"
    return book.change(experiment.id, up, WHO, "step", why)
