"""Which rows are held out: by seed, evenly over the labels, near-duplicates on one side."""

from __future__ import annotations

import hashlib

import numpy as np

from tunesmith.errors import DataError
from tunesmith.recipe.data import SplitSection

TRAIN, VALIDATION, TEST = 0, 1, 2
PARTS = ("train", "validation", "test")


def split(
    num_rows: int,
    section: SplitSection,
    labels: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    wanted: tuple[bool, bool] = (True, True),
) -> np.ndarray:
    """Assign each row to a part: int8 array (rows,) of TRAIN, VALIDATION and TEST.

    `labels` (rows,) small integers to stratify by, `groups` (rows,) the index of the first near-duplicate of each row.
    `wanted` says whether validation and test are to be taken at all. Whole groups move together, so the shares are met
    as nearly as groups allow. Raises DataError when nothing would be left to train on.
    """
    sizes = [
        _size(value, num_rows) if take else 0
        for value, take in zip((section.validation, section.test), wanted, strict=True)
    ]
    if num_rows - sum(sizes) < 1:
        raise DataError(
            f"{num_rows} rows are too few to hold out {sizes[0]} for validation and {sizes[1]} for test",
            where="data.split",
            fix="lower data.split.validation and data.split.test, or add rows",
        )
    group = np.arange(num_rows) if groups is None or not section.group_near_duplicates else groups
    label = np.zeros(num_rows, np.int64) if labels is None or not section.stratify else labels
    parts = np.zeros(num_rows, np.int8)
    for part, size in ((TEST, sizes[1]), (VALIDATION, sizes[0])):
        _take(parts, part, size, group, label, section.seed)
    return parts


def _size(value: float | int, num_rows: int) -> int:
    return round(value * num_rows) if value < 1 else int(value)


def _take(parts: np.ndarray, part: int, size: int, group: np.ndarray, label: np.ndarray, seed: int) -> None:
    """Move `size` rows out of TRAIN, from each label its share, going through the groups in an order set by the seed."""
    if size == 0:
        return
    members: dict[int, list[int]] = {}
    for row in np.flatnonzero(parts == TRAIN).tolist():
        members.setdefault(int(group[row]), []).append(row)
    order = sorted(members, key=lambda key: _draw(seed, part, key))
    quota = _quotas(label, size)
    left = size
    for key in order:
        rows = members[key]
        home = int(label[rows[0]])
        if quota[home] >= len(rows) and left >= len(rows):
            quota[home] -= len(rows)
            left -= len(rows)
            parts[rows] = part


def _quotas(label: np.ndarray, size: int) -> dict[int, int]:
    """Rows to take of each label: its share of `size`, by largest remainder, so that they add up to `size`."""
    values, counts = np.unique(label, return_counts=True)
    exact = counts * (size / len(label))
    quota = np.floor(exact).astype(int)
    for index in np.argsort(-(exact - quota), kind="stable")[: size - int(quota.sum())]:
        quota[index] += 1
    return {int(value): int(count) for value, count in zip(values, quota, strict=True)}


def _draw(seed: int, part: int, key: int) -> bytes:
    return hashlib.blake2b(f"{seed}/{part}/{key}".encode(), digest_size=8).digest()
