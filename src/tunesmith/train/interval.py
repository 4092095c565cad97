"""When the next checkpoint is due: after so many steps, so much time, or as often as failures make it worth it."""

from __future__ import annotations

import math
import time

from tunesmith.recipe.train import seconds_of

PRIOR_HOURS = 24.0
"""Hours that one worker is taken to live, before the run has seen its own failures."""

PARTS = 10
"""A run that gives no interval is saved at least this often."""


class Interval:
    """The clock of the first worker. `setting` is the recipe's `train.checkpoint_every`.

    `auto` takes the interval of Young (1974, doi:10.1145/361147.361115), which Daly (2006,
    doi:10.1016/j.future.2004.11.016) refined: sqrt(2 * cost of a checkpoint * mean time between failures).
    """

    def __init__(self, setting: int | str, total_steps: int, world_size: int, failures: int, seconds: float) -> None:
        self.setting, self.world_size = setting, world_size
        self.failures, self.seconds = failures, seconds
        self.most_steps = max(1, math.ceil(total_steps / PARTS))
        self.stalled, self.writing = 1.0, 0.0
        self._step, self._began, self._born = 0, time.monotonic(), time.monotonic()

    def saved(self, step: int) -> None:
        """A checkpoint of this step has been begun."""
        self._step, self._began = step, time.monotonic()

    def cost(self, stalled: float, writing: float) -> None:
        """What the last one cost, in seconds: of training at a stand-still, and of writing beside it."""
        self.stalled, self.writing = stalled, writing

    def wanted_seconds(self) -> float:
        """The interval of `auto`."""
        lived = self.seconds + time.monotonic() - self._born
        between = (PRIOR_HOURS * 3600 / self.world_size + lived) / (1 + self.failures)
        # Writing takes a little from training too, and only one can be written at a time.
        return max(math.sqrt(2 * (self.stalled + 0.1 * self.writing) * between), 2 * self.writing)

    def due(self, step: int) -> bool:
        """Whether a checkpoint should be begun after this step."""
        if isinstance(self.setting, int):
            # Counted from the start of the run, so that a resumed run saves where it would have.
            return step % self.setting == 0 or step - self._step >= self.setting
        past = time.monotonic() - self._began
        if self.setting == "auto":
            return past >= self.wanted_seconds() or step - self._step >= self.most_steps
        return past >= seconds_of(self.setting)
