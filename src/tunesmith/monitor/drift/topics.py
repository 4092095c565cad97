"""Topics of the training data: spherical k-means on weighted hashed words and 4-grams."""

from __future__ import annotations

from typing import Any

import numpy as np

from tunesmith.data.profile.features import Features
from tunesmith.monitor.drift.likeness import idf, matrix, norms, scaled

NUM_TOPICS = 16
MIN_ROWS_PER_TOPIC = 25
ROUNDS = 8


class Topics:
    """k centres, found on the first half of the reference.

    Only the other half says how common each topic is: rows lie nearer to centres that were found on them.
    """

    def __init__(self, reference: Features, frequency: np.ndarray) -> None:
        self._idf = idf(frequency, len(reference))
        rows = self._points(reference)
        self.num_fitted = len(reference) // 2
        fitted = rows[: self.num_fitted]
        number = min(NUM_TOPICS, self.num_fitted // MIN_ROWS_PER_TOPIC)
        self._centres = _centres(fitted, number) if number > 1 else np.zeros((1, rows.shape[1]), np.float32)
        self.of_reference = self._nearest(rows)

    def __call__(self, of: Features) -> np.ndarray:
        """(rows,) the number of the nearest centre."""
        return self._nearest(self._points(of))

    def _points(self, of: Features) -> Any:
        rows = matrix(of)
        rows = scaled(rows, 1 / norms(rows, self._idf))
        rows.data *= self._idf[rows.indices]
        return rows

    def _nearest(self, rows: Any) -> np.ndarray:
        nearest: np.ndarray = np.asarray(rows @ self._centres.T).argmax(axis=1)
        return nearest


def _centres(rows: Any, number: int) -> np.ndarray:
    """(number, columns), each of length 1. Begins with rows that lie far apart; the same each time."""
    first = [0]
    nearest = np.full(rows.shape[0], -1.0)
    draw = np.random.default_rng(0)
    while len(first) < number:
        nearest = np.maximum(nearest, (rows @ rows[first[-1]].T).toarray().ravel())
        far = np.maximum(1 - nearest, 0) ** 2 + 1e-12
        first.append(int(draw.choice(len(far), p=far / far.sum())))
    centres = rows[first].toarray()
    for _ in range(ROUNDS):
        chosen = np.asarray(rows @ centres.T).argmax(axis=1)
        for topic in range(number):
            if (mine := chosen == topic).any():
                centre = np.asarray(rows[mine].sum(axis=0)).ravel()
                centres[topic] = centre / max(1e-12, float(np.linalg.norm(centre)))
    found: np.ndarray = centres.astype(np.float32)
    return found
