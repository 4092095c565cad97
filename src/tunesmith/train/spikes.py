"""Losses that are no numbers, or leap: the batch is passed over, or the run goes back to its last checkpoint."""

from __future__ import annotations

import math
import statistics
from typing import Literal

from tunesmith.train.progress import Progress

WINDOW = 32
"""Losses to judge by."""

LEAST = 0.5
"""Nats a token that a leap is at least: among rows that are nearly known, a hard one is what there is to learn."""

IN_A_ROW = 3
"""Batches passed over one after the other before skipping no longer helps."""

Verdict = Literal["good", "spike", "nonsense"]


def judge(loss: float, norm: float, progress: Progress, heeds_spikes: bool) -> Verdict:
    """What a step's loss is. A spike lies 10 standard deviations, half as much again, and `LEAST` above the median
    of the last losses.

    The deviation is taken from the median absolute deviation, which one leap does not move.
    """
    if not (math.isfinite(loss) and math.isfinite(norm)):
        return "nonsense"
    recent = progress.recent_losses
    if not heeds_spikes or len(recent) < WINDOW:
        return "good"
    middle = statistics.median(recent)
    deviation = 1.4826 * statistics.median(abs(one - middle) for one in recent)
    return "spike" if loss > max(middle + max(10 * deviation, LEAST), 1.5 * middle) else "good"


def remember(loss: float, progress: Progress) -> None:
    """Add a good step's loss to those that the next ones are judged by."""
    progress.recent_losses = [*progress.recent_losses[1 - WINDOW :], loss]


def in_a_row(progress: Progress) -> int:
    """How many of the steps just done were passed over, one after the other."""
    passed, step, count = set(progress.passed), progress.step, 0
    while step in passed:
        step, count = step - 1, count + 1
    return count
