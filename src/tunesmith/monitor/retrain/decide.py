"""Whether to retrain now: the triggers, how many of them it takes, and what stands in the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tunesmith.monitor.retrain.journal import Step
from tunesmith.monitor.retrain.quiet import quiet_now
from tunesmith.monitor.retrain.situation import Situation
from tunesmith.monitor.retrain.triggers import TRIGGERS, WITHOUT, Firing
from tunesmith.recipe.retrain import RetrainSection, TriggersSection

DECISION = "decision"
"""The step that decisions are written down as."""


@dataclass(frozen=True)
class Ruling:
    """What was decided and why; what each trigger said; what stood in the way though triggers asked for it."""

    start: bool
    reason: str
    firings: tuple[Firing, ...]
    hindrances: tuple[str, ...]

    def step(self, situation: Situation) -> Step:
        """As it is written down."""
        evidence: dict[str, Any] = {
            "champion": situation.champion,
            "triggers": [one.to_json() for one in self.firings],
            "hindrances": list(self.hindrances),
        }
        return Step(DECISION, situation.now, "start" if self.start else "stay", self.reason, evidence)


def rule(section: RetrainSection, situation: Situation, wish: str | None = None) -> Ruling:
    """Ask every trigger of the recipe.

    `wish` is the reason of somebody who wants one now: it takes the place of triggers, cool-down and quiet hours, but
    not of one that is in flight.
    """
    firings = tuple(_firings(section.triggers, situation))
    fired, needed = sum(one.fired for one in firings), _needed(section.triggers.when, len(firings))
    says = "; ".join(f"{one.name}: {one.reason}" for one in firings)
    hindrances = tuple(_hindrances(section, situation, wish is not None))
    if wish is None and fired < needed:
        too_few = f"{fired} of {len(firings)} triggers ask for it, and it takes {needed}: {says}"
        return Ruling(False, "; ".join([too_few, *hindrances]), firings, hindrances)
    asked = f"asked for: {wish}" if wish is not None else f"{fired} of {len(firings)} triggers ask for it: {says}"
    if hindrances:
        return Ruling(False, f"not now: {'; '.join(hindrances)} ({asked})", firings, hindrances)
    return Ruling(True, asked, firings, ())


def _firings(triggers: TriggersSection, situation: Situation) -> Iterator[Firing]:
    named = {name: getattr(triggers, name) for name in TRIGGERS}
    if not any(named.values()):
        yield WITHOUT.decide(situation, None)
    for name, settings in named.items():
        if settings is not None:
            yield TRIGGERS[name].decide(situation, settings)


def _needed(when: str | int, number: int) -> int:
    if isinstance(when, int):
        return when
    return number if when == "all" else 1


def _hindrances(section: RetrainSection, situation: Situation, wished: bool) -> Iterator[str]:
    if situation.in_flight is not None:
        yield f"{situation.in_flight.reference} is in flight, at {situation.in_flight.next}"
    if wished:
        return
    if situation.last_end is not None:
        free = situation.last_end + timedelta(days=section.cooldown_days)
        if situation.now < free:
            yield f"the last one ended on {situation.last_end:%Y-%m-%d %H:%M}, cool-down until {free:%Y-%m-%d %H:%M}"
    if (span := quiet_now(section.quiet_hours, situation.now)) is not None:
        yield f"{span} UTC are quiet hours"
