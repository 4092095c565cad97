"""Near-duplicates: rows whose word 3-grams overlap, found through bands and confirmed exactly."""

from __future__ import annotations

import numpy as np

from tunesmith.data.audit.table import Similarity, first_rows

MAX_PIVOTS = 16
"""In a band that many rows share, each row is compared with this many others at most, the earliest ones."""


def near_components(set_hashes: np.ndarray, bands: np.ndarray, similarity: Similarity, threshold: float) -> np.ndarray:
    """For each row, the number of the first row of its component.

    Two rows are joined when the Jaccard similarity of their sets is at least the threshold; components are what joins
    connect. `bands` has shape (rows, bands). Memory: a few 8-byte numbers a row.
    """
    same_set = first_rows(set_hashes)
    rows = np.flatnonzero(same_set == np.arange(len(same_set)))
    component = np.arange(len(rows))
    for band in range(bands.shape[1] if len(rows) else 0):
        component = _join(component, *_pairs_of_band(bands[rows, band], rows, component, similarity, threshold))
    position = np.zeros(len(same_set), dtype=np.int64)
    position[rows] = np.arange(len(rows))
    return rows[component[position[same_set]]] if len(rows) else same_set


def _pairs_of_band(
    values: np.ndarray, rows: np.ndarray, component: np.ndarray, similarity: Similarity, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Confirmed pairs (positions in `rows`) among those that share a band's value."""
    order = np.argsort(values, kind="stable")
    is_start = np.ones(len(order), dtype=bool)
    is_start[1:] = values[order][1:] != values[order][:-1]
    run = np.cumsum(is_start) - 1
    start = np.flatnonzero(is_start)[run]
    rank = np.arange(len(order)) - start
    longest = int(rank.max()) if len(rank) else 0
    sizes = similarity.offsets[rows + 1] - similarity.offsets[rows]
    left, right = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for pivot in range(min(longest, MAX_PIVOTS)):
        later = np.flatnonzero(rank > pivot)
        a, b = order[start[later] + pivot], order[later]
        small, large = np.minimum(sizes[a], sizes[b]), np.maximum(sizes[a], sizes[b])
        # Sets whose sizes differ too much cannot reach the threshold, whatever is in them.
        likely = (component[a] != component[b]) & (small >= threshold * large)
        a, b = a[likely], b[likely]
        near = similarity.of_pairs(rows[a], rows[b]) >= threshold
        left.append(a[near])
        right.append(b[near])
    return np.concatenate(left), np.concatenate(right)


def _join(component: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Components after joining pairs; each is named by its least position."""
    if not len(left):
        return component
    return connected(
        np.concatenate([left, np.arange(len(component))]), np.concatenate([right, component]), len(component)
    )


def connected(left: np.ndarray, right: np.ndarray, num_rows: int) -> np.ndarray:
    """Least row number of each row's component in the graph with these edges."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(num_rows, num_rows))
    _, label = connected_components(graph, directed=False)
    return first_rows(label)


def groups_of(near: np.ndarray, prompts: np.ndarray, is_open: np.ndarray) -> np.ndarray:
    """Rows that belong on one side of a split: near-duplicates, and rows that share a prompt.

    Open prompts (requests that very many rows share) do not join rows, or nothing could be split.
    """
    every = np.arange(len(near))
    same_prompt = np.where(is_open, every, first_rows(prompts))
    return connected(np.concatenate([every, every]), np.concatenate([near, same_prompt]), len(near))
