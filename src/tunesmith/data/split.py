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
    keys: np.ndarray | None = None,
) -> np.ndarray:
    """Assign each row to a part: int8 array (rows,) of TRAIN, VALIDATION and TEST.

    `labels` (rows,) are small integers to stratify by, `groups` (rows,) one number for each set of near-duplicates.
    `wanted` says whether validation and test are to be taken at all. Rows are drawn by `keys` (rows,) uint64: keys made
    from the content give the same rows whatever their order. Whole groups move together; the sizes are met exactly
    where some choice of groups meets them. Raises DataError when a part would be empty.
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
    key = np.arange(num_rows, dtype=np.uint64) if keys is None else keys
    parts = np.zeros(num_rows, np.int8)
    for part, size in ((TEST, sizes[1]), (VALIDATION, sizes[0])):
        if size:
            undecided = np.flatnonzero(parts == TRAIN)
            drawn = draws(section.seed, PARTS[part], key[undecided])
            taken = _choose(size, group[undecided], label[undecided], drawn, _quotas(label, size))
            if not taken.any() or taken.all():
                raise _no_such_groups(PARTS[part], size, len(undecided))
            parts[undecided[taken]] = part
    return parts


def draws(seed: int, purpose: str, keys: np.ndarray) -> np.ndarray:
    """(rows,) uint64, each decided by seed, purpose and key alone (SplitMix64, Steele et al. 2014)."""
    salt = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    mixed = keys ^ np.frombuffer(salt, "<u8")[0]
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _size(value: float | int, num_rows: int) -> int:
    return max(1, round(value * num_rows)) if 0 < value < 1 else int(value)


def _choose(size: int, group: np.ndarray, label: np.ndarray, drawn: np.ndarray, quota: dict[int, int]) -> np.ndarray:
    """Bool (rows,): groups in the order drawn, of each label its quota; then any that fit, then an exact fit."""
    by_group = np.lexsort((drawn, group))  # rows of a group beside each other, the first drawn in front
    starts = np.flatnonzero(np.diff(group[by_group], prepend=-1))
    sizes = np.diff(starts, append=len(by_group))
    leaders = by_group[starts]
    order = np.argsort(drawn[leaders], kind="stable")
    homes, num_members = label[leaders].tolist(), sizes.tolist()
    taken = np.zeros(len(starts), bool)
    left = size
    for number in order.tolist():
        members, home = num_members[number], homes[number]
        if members <= left and members <= quota[home]:
            quota[home] -= members
            left -= members
            taken[number] = True
    for number in order.tolist() if left else ():
        if not taken[number] and num_members[number] <= left:
            left -= num_members[number]
            taken[number] = True
    if left:
        taken = _fit(sizes, order, size, taken)
    chosen = np.zeros(len(group), bool)
    chosen[by_group] = np.repeat(taken, sizes)
    return chosen


def _fit(sizes: np.ndarray, order: np.ndarray, size: int, taken: np.ndarray) -> np.ndarray:
    """The groups that come nearest to `size` from below; those already taken when no others come nearer.

    Which sums can be had is kept as the bits of one integer for each step (subset sums over the different sizes).
    """
    steps = []
    reached = [1]
    for value, count in zip(*np.unique(sizes, return_counts=True), strict=True):
        count, times = min(int(count), size // int(value)), 1
        while count > 0:
            times = min(times, count)
            steps.append((int(value), times))
            reached.append((reached[-1] | reached[-1] << int(value) * times) & ((1 << size + 1) - 1))
            count, times = count - times, times * 2
    total = reached[-1].bit_length() - 1
    if total == int(sizes[taken].sum()):
        return taken
    needed: dict[int, int] = {}
    for (value, times), before in zip(reversed(steps), reversed(reached[:-1]), strict=True):
        if not before >> total & 1:
            needed[value] = needed.get(value, 0) + times
            total -= value * times
    chosen = np.zeros(len(sizes), bool)
    for value, count in needed.items():
        of_size = order[sizes[order] == value]
        preferred = of_size[np.argsort(~taken[of_size], kind="stable")]
        chosen[preferred[:count]] = True
    return chosen


def _quotas(label: np.ndarray, size: int) -> dict[int, int]:
    """Rows to take of each label: its share of `size`, by largest remainder, so that they add up to `size`."""
    values, counts = np.unique(label, return_counts=True)
    exact = counts * (size / len(label))
    quota = np.floor(exact).astype(int)
    for index in np.argsort(-(exact - quota), kind="stable")[: size - int(quota.sum())]:
        quota[index] += 1
    return {int(value): int(count) for value, count in zip(values, quota, strict=True)}


def _no_such_groups(part: str, size: int, num_rows: int) -> DataError:
    return DataError(
        f"{size} of {num_rows} rows cannot be held out for {part}: near-duplicates stay on one side, and there are "
        "too few different rows",
        where="data.split",
        fix="add rows, name a file for it, or set data.split.group_near_duplicates: false",
    )
