"""The requests that are most unlike the training data, and alike among themselves."""

from __future__ import annotations

import numpy as np

from tunesmith.data.profile import Features
from tunesmith.monitor.drift.likeness import Likeness

SIZE = 20
"""Requests of a region."""

COMPANY = 0.7
"""What counts, beside the distance to the training data, the likeness to other requests of the window: one odd request
is an accident, several of a kind are a new topic. Of values tried this found most of the new intents of banking77."""


def region(likeness: Likeness, embedded: Features, unlikeness: np.ndarray) -> tuple[list[int], list[float]]:
    """Up to SIZE row numbers, first the most unlike, and their scores."""
    score = unlikeness + COMPANY * likeness.company(embedded)
    order = np.argsort(-score, kind="stable")[:SIZE]
    return order.tolist(), [round(float(score[place]), 4) for place in order]
