"""There is enough new to learn from."""

from __future__ import annotations

from tunesmith.monitor.retrain.situation import Situation
from tunesmith.monitor.retrain.triggers.trigger import Firing, Trigger
from tunesmith.recipe.retrain import VolumeTrigger


class Volume(Trigger):
    """Fires when so many corrections and well-rated answers have come since the last training began."""

    name = "volume"

    def decide(self, situation: Situation, settings: VolumeTrigger) -> Firing:
        found = situation.examples()
        reason = f"{found:,} new example(s) to learn from, and it takes {settings.examples:,}"
        return self.firing(found >= settings.examples, reason, examples=found, needed=settings.examples)
