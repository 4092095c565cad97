"""What is asked is no longer what was trained on."""

from __future__ import annotations

from tunesmith.monitor.retrain.situation import DRIFT_ALARM, Situation
from tunesmith.monitor.retrain.triggers.trigger import Firing, Trigger
from tunesmith.recipe.retrain import DriftTrigger


class Drift(Trigger):
    """Fires after so many alarms of data drift since the last training began."""

    name = "drift"

    def decide(self, situation: Situation, settings: DriftTrigger) -> Firing:
        alarms = situation.alarms(DRIFT_ALARM)
        reason = f"{len(alarms)} alarm(s) of drift since the last training, and it takes {settings.alarms}"
        if alarms:
            reason += f"; the last: {alarms[-1].reason}"
        told = [{"at": one.at.isoformat(), "reason": one.reason} for one in alarms[-10:]]
        return self.firing(len(alarms) >= settings.alarms, reason, num_alarms=len(alarms), alarms=told)
