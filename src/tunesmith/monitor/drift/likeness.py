"""How unlike a request is to everything in the training data: its distance to the nearest two rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from tunesmith.data.profile.features import WIDTH, Features

NEIGHBOURS = 2
KNOWN = 32
"""Neighbours of each row of the reference that are kept, so that a part of it can be the reference for the rest."""

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
        self._weights = idf(self.frequency, self.size)
        self._lengths = norms(self._rows, self._weights)
        self._neighbours = scaled(self._rows, 1 / self._lengths).T.tocsr()

    def unlikeness(self, of: Features) -> np.ndarray:
        """(rows,) 1 - the mean cosine with the two nearest rows of the reference, for new texts."""
        _, cosines = self._nearest(matrix(of), self._weights, NEIGHBOURS, own=False)
        return to_unlikeness(cosines)

    def within(self) -> tuple[np.ndarray, np.ndarray]:
        """(reference rows, KNOWN) the rows of the reference nearest to each of its rows, and their cosines."""
        alone = idf(self.frequency - 1, self.size - 1)
        places, cosines = self._nearest(self._rows, alone, KNOWN, own=True)
        cosines *= self._lengths[places] / self._lengths_without(places, alone**2 - self._weights**2)
        order = np.argsort(-cosines, axis=1, kind="stable")
        return np.take_along_axis(places, order, axis=1), np.take_along_axis(cosines, order, axis=1)

    def _lengths_without(self, places: np.ndarray, more: np.ndarray) -> np.ndarray:
        """(rows, neighbours) lengths of each row's neighbours where the weights do not count the row itself: words that
        both have are then rarer, and weigh `more` (columns,). Left out, rows would lie too near to their neighbours."""
        squares, own = self._rows.power(2), self._rows.copy()
        own.data = more[own.indices]
        lengths: np.ndarray = np.zeros(places.shape, np.float32)
        for start in range(0, len(places), BLOCK):
            others = places[start : start + BLOCK]
            rows: np.ndarray = np.repeat(np.arange(start, start + len(others)), others.shape[1])
            shared = own[rows].multiply(squares[others.ravel()]).sum(axis=1)
            lengths[start : start + BLOCK] = np.asarray(shared).reshape(others.shape)
        without: np.ndarray = np.sqrt(lengths + self._lengths[places] ** 2)
        return without

    def company(self, of: Features) -> np.ndarray:
        """(rows,) the mean cosine of each text with the two nearest of the others."""
        if len(of) <= NEIGHBOURS:
            return np.zeros(len(of))
        rows = matrix(of)
        rows = scaled(rows, 1 / norms(rows, self._weights))
        rows.data *= self._weights[rows.indices]
        cosines = (rows @ rows.T).toarray()
        np.fill_diagonal(cosines, -1)
        nearest: np.ndarray = np.partition(cosines, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS:].mean(axis=1)
        return nearest

    def _nearest(self, rows: Any, weights: np.ndarray, number: int, own: bool) -> tuple[np.ndarray, np.ndarray]:
        """(rows, number) each: row numbers of the nearest, first the nearest, and their cosines; 0 beyond what there
        is."""
        queries = scaled(rows, 1 / norms(rows, weights))
        queries.data *= (weights**2)[queries.indices]
        found = min(number, self.size)
        places: np.ndarray = np.zeros((rows.shape[0], number), np.int32)
        cosines: np.ndarray = np.zeros((rows.shape[0], number), np.float32)
        for start in range(0, rows.shape[0] if found else 0, BLOCK):
            block = (queries[start : start + BLOCK] @ self._neighbours).toarray()
            here = np.arange(len(block))
            if own:
                block[here, start + here] = 0
            best = np.argpartition(block, -found, axis=1)[:, -found:]
            best = np.take_along_axis(best, np.argsort(-block[here[:, None], best], axis=1, kind="stable"), axis=1)
            places[start : start + BLOCK, :found] = best
            cosines[start : start + BLOCK, :found] = block[here[:, None], best]
        return places, cosines


def to_unlikeness(cosines: np.ndarray) -> np.ndarray:
    """(rows,) from (rows, at least NEIGHBOURS) cosines with the nearest, first the nearest."""
    far: np.ndarray = 1 - np.clip(cosines[:, :NEIGHBOURS].astype(np.float64), 0, 1).mean(axis=1)
    return far


def to_unlikeness_among(places: np.ndarray, cosines: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(rows,) the same where only the rows that are `chosen` (reference rows,) bool are neighbours.

    Where fewer than NEIGHBOURS of the nearest that are known are chosen, the others count as unlike as can be.
    """
    among = chosen[places]
    first = among & (np.cumsum(among, axis=1) <= NEIGHBOURS)
    far: np.ndarray = 1 - np.where(first, np.clip(cosines.astype(np.float64), 0, 1), 0).sum(axis=1) / NEIGHBOURS
    return far


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
