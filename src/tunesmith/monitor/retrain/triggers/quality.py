"""Answers are no longer as good as they were."""

from __future__ import annotations

from tunesmith.monitor.retrain.situation import QUALITY, Situation
from tunesmith.monitor.retrain.triggers.trigger import Firing, Trigger
from tunesmith.recipe.retrain import QualityTrigger


class Quality(Trigger):
    """Fires after so many alarms of quality since the last training began: feedback, validity, corrections, the golden
    set. Metrics that clients have made up do not count: anybody who may ask could start a retrain with them."""

    name = "quality"

    def decide(self, situation: Situation, settings: QualityTrigger) -> Firing:
        alarms = [one for one in situation.alarms(QUALITY) if one.evidence.get("named", True)]
        reason = f"{len(alarms)} alarm(s) of quality since the last training, and it takes {settings.alarms}"
        if alarms:
            reason += f"; the last: {alarms[-1].rule}, {alarms[-1].reason}"
        told = [{"at": one.at.isoformat(), "rule": one.rule, "reason": one.reason} for one in alarms[-10:]]
        return self.firing(len(alarms) >= settings.alarms, reason, num_alarms=len(alarms), alarms=told)
