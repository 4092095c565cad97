"""How unlike a request is to everything in the training data: its distance to the nearest two rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from tunesmith.data.profile.features import WIDTH, Features

NEIGHBOURS = 2
BLOCK = 500


class Likeness:
    """Cosines between texts as weighted hashed words and 4-grams (sublinear tf, idf of the reference).

    A row of the reference is compared with the others as if it were new: it is no neighbour of itself, and the weights
    do not count it. So its unlikeness and that of a new text of the same kind have the same distribution, but for one
    row in n.
    """

    def __init__(self, reference: Features) -> None:
        self.size = len(reference)
        self.frequency = np.bincount(reference.columns, minlength=WIDTH)
        self._rows = matrix(reference)
        lengths = norms(self._rows, idf(self.frequency, self.size))
        self._neighbours = scaled(self._rows, 1 / lengths).T.tocsr()

    def unlikeness(self, of: Features) -> np.ndarray:
        """(rows,) 1 - the mean cosine with the two nearest rows of the reference, for new texts."""
        return self._unlikeness(matrix(of), idf(self.frequency, self.size), own=False)

    def unlikeness_within(self) -> np.ndarray:
        """(reference rows,) the same for each row of the reference against the others."""
        return self._unlikeness(self._rows, idf(self.frequency - 1, self.size - 1), own=True)

    def company(self, of: Features) -> np.ndarray:
        """(rows,) the mean cosine of each text with the two nearest of the others."""
        if len(of) <= NEIGHBOURS:
            return np.zeros(len(of))
        rows, weights = matrix(of), idf(self.frequency, self.size)
        rows = scaled(rows, 1 / norms(rows, weights))
        rows.data *= weights[rows.indices]
        cosines = (rows @ rows.T).toarray()
        np.fill_diagonal(cosines, -1)
        nearest: np.ndarray = np.partition(cosines, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS:].mean(axis=1)
        return nearest

    def _unlikeness(self, rows: Any, weights: np.ndarray, own: bool) -> np.ndarray:
        queries = scaled(rows, 1 / norms(rows, weights))
        queries.data *= (weights**2)[queries.indices]
        nearest = min(NEIGHBOURS, max(1, self.size - own))
        result: np.ndarray = np.ones(rows.shape[0])
        for start in range(0, rows.shape[0] if self.size > own else 0, BLOCK):
            cosines = (queries[start : start + BLOCK] @ self._neighbours).toarray()
            if own:
                here = np.arange(len(cosines))
                cosines[here, start + here] = -1
            best = np.partition(cosines, -nearest, axis=1)[:, -nearest:]
            result[start : start + BLOCK] = 1 - np.clip(best, 0, 1).mean(axis=1)
        return result


def matrix(of: Features) -> Any:
    """(rows, WIDTH) scipy CSR of 1 + log(count)."""
    from scipy.sparse import csr_matrix

    counts = 1 + np.log(of.counts.astype(np.float32))
    return csr_matrix((counts, of.columns.astype(np.int32), of.starts), shape=(len(of), WIDTH))


def scaled(rows: Any, by: np.ndarray) -> Any:
    """Each row multiplied by a number of its own."""
    result = rows.copy()
    result.data = result.data * np.repeat(by, np.diff(rows.indptr)).astype(np.float32)
    return result


def idf(frequency: np.ndarray, size: int) -> np.ndarray:
    """(columns,) weights by how many of `size` rows have a column."""
    weights: np.ndarray = (np.log((1 + size) / (1 + np.maximum(frequency, 0))) + 1).astype(np.float32)
    return weights


def norms(rows: Any, weights: np.ndarray) -> np.ndarray:
    """(rows,) length of each weighted row, never 0."""
    lengths: np.ndarray = np.sqrt(np.maximum(rows.multiply(rows) @ (weights**2), 1e-12))
    return lengths
