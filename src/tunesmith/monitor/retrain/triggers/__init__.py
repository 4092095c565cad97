"""What starts a retrain: one file each, listed here under their names in the recipe."""

from __future__ import annotations

from tunesmith.monitor.retrain.triggers.drift import Drift
from tunesmith.monitor.retrain.triggers.golden import Golden
from tunesmith.monitor.retrain.triggers.quality import Quality
from tunesmith.monitor.retrain.triggers.schedule import Schedule
from tunesmith.monitor.retrain.triggers.trigger import Firing, Trigger
from tunesmith.monitor.retrain.triggers.volume import Volume

TRIGGERS: dict[str, Trigger] = {one.name: one for one in (Schedule(), Drift(), Quality(), Volume())}

WITHOUT = Golden()
"""Asked where the recipe names no trigger."""

__all__ = ["TRIGGERS", "WITHOUT", "Firing", "Trigger"]
