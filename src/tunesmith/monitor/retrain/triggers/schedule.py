"""By the calendar."""

from __future__ import annotations

from tunesmith.monitor.retrain.situation import Situation
from tunesmith.monitor.retrain.triggers.trigger import Firing, Trigger
from tunesmith.recipe.retrain import ScheduleTrigger

DAY = 86_400


class Schedule(Trigger):
    """Fires so many days after the live version, or the last attempt at a new one, was begun."""

    name = "schedule"

    def decide(self, situation: Situation, settings: ScheduleTrigger) -> Firing:
        days = (situation.now - situation.began).total_seconds() / DAY
        reason = f"the last training began {days:.1f} days ago, and {settings.every_days:g} are allowed"
        return self.firing(days >= settings.every_days, reason, days=days, every_days=settings.every_days)
