"""What is compared of a number of requests: one column for each descriptor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NOT_COUNTED = -1
UNLIKENESS, TOPIC, VOCABULARY = "unlikeness", "topic", "vocabulary"


@dataclass(frozen=True)
class Observed:
    """`numbers` name -> (rows,) float; `categories` name -> (rows,) int, NOT_COUNTED where a row does not count;
    `buckets` (rows, BUCKETS) bool, which hashed words a row has; `unlikeness` (rows,)."""

    numbers: dict[str, np.ndarray]
    categories: dict[str, np.ndarray]
    buckets: np.ndarray | None
    unlikeness: np.ndarray | None
