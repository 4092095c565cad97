"""Where no trigger is named: the live version is evaluated again every quarter, and retrained when it has got worse."""

from __future__ import annotations

from typing import Any

from tunesmith.monitor.retrain.situation import GOLDEN, Situation
from tunesmith.monitor.retrain.triggers.trigger import Firing, Trigger

EVERY_DAYS = 90.0


class Golden(Trigger):
    """Fires when the newest evaluation on the golden set found a loss above that on the day of release.

    What has not been evaluated for a quarter is evaluated before this is asked: see `look.py`.
    """

    name = "golden"

    def decide(self, situation: Situation, settings: Any) -> Firing:
        found = situation.last(GOLDEN)
        if found is None:
            days = (situation.now - situation.began).days
            reason = f"no trigger is named, and the live version, {days} days old, was not evaluated again yet"
            return self.firing(False, reason, days=days, every_days=EVERY_DAYS)
        when = {"at": found.at.isoformat(), "rule": found.rule, **found.evidence}
        return self.firing(found.fired, f"evaluated again on {found.at:%Y-%m-%d}: {found.reason}", **when)
