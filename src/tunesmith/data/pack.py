"""Put conversations of different lengths into rows of one length, wasting little."""

from __future__ import annotations

from bisect import bisect_left, insort

import numpy as np

WINDOW = 65_536
"""Conversations placed together; bounds the time and memory of packing."""


def pack(lengths: np.ndarray, capacity: int, seed: int, packing: bool = True) -> list[np.ndarray]:
    """Group conversations into rows of at most `capacity` tokens: best fit, in an order shuffled by `seed`.

    `lengths` (conversations,) in tokens, each at most `capacity`. Returns for each row the indices in it. Shuffled and
    not sorted by length, because sorted rows would hold only long or only short conversations. The same input gives the
    same rows. Best fit: each goes where the least room remains (Johnson 1973).
    """
    if len(lengths) and int(lengths.max()) > capacity:
        raise ValueError("a conversation is longer than a row")
    order = np.random.default_rng([seed, 0x7061636B]).permutation(len(lengths))
    if not packing:
        return [order[i : i + 1] for i in range(len(order))]
    rows: list[np.ndarray] = []
    for start in range(0, len(order), WINDOW):
        rows.extend(_best_fit(order[start : start + WINDOW], lengths, capacity))
    return rows


def _best_fit(order: np.ndarray, lengths: np.ndarray, capacity: int) -> list[np.ndarray]:
    open_rows: dict[int, list[int]] = {}  # room left -> rows with that much
    rooms: list[int] = []  # the keys, sorted
    rows: list[list[int]] = []
    for index in order.tolist():
        length = int(lengths[index])
        place = bisect_left(rooms, length)
        if place == len(rooms):
            row, room = len(rows), capacity
            rows.append([])
        else:
            room = rooms[place]
            row = open_rows[room].pop()
            if not open_rows[room]:
                del open_rows[room], rooms[place]
        rows[row].append(index)
        if left := room - length:
            if left not in open_rows:
                open_rows[left] = []
                insort(rooms, left)
            open_rows[left].append(row)
    return [np.array(row) for row in rows]
