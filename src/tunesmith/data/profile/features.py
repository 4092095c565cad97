"""Texts as sparse counts of hashed words and character 4-grams: what tells how alike two texts are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from tunesmith.data.audit.words import WORD, mixed32

WIDTH = 1 << 14
"""Columns: the lower half for words, the upper for 4-grams."""

GRAM = 4
MAX_CHARACTERS = 4_000
"""Characters of a text that are hashed."""

MAX_COLUMNS = 400
"""Columns of a text that are kept. Which ones is decided by their number alone, so that like texts keep the same."""


@dataclass(frozen=True)
class Features:
    """Sparse rows: row i has `counts[starts[i]:starts[i + 1]]` in `columns[starts[i]:starts[i + 1]]`, ascending."""

    starts: np.ndarray
    columns: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def row_of(self) -> np.ndarray:
        """(entries,) the row of each."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))


def features(texts: Sequence[str]) -> Features:
    """Count words and 4-grams of each text; case does not matter, and runs of white space are one space."""
    plain = [" ".join(text[:MAX_CHARACTERS].lower().split()) for text in texts]
    rows, columns = (np.concatenate(pair) for pair in zip(_words(plain), _grams(plain), strict=True))
    keys = rows * WIDTH + columns
    # Half as wide numbers are sorted in less than half of the time.
    keys, counts = np.unique(keys.astype(np.uint32) if len(plain) * WIDTH < 1 << 32 else keys, return_counts=True)
    rows, columns = np.divmod(keys.astype(np.int64), WIDTH)
    kept = _few(rows, columns, len(plain))
    rows, columns, counts = rows[kept], columns[kept], counts[kept]
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(plain)))])
    return Features(starts.astype(np.int64), columns.astype(np.uint16), np.minimum(counts, 255).astype(np.uint8))


def _words(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    hashes = [[crc32(word.encode("utf-8", "surrogatepass")) for word in WORD.findall(text)] for text in texts]
    rows = np.repeat(np.arange(len(texts)), [len(row) for row in hashes])
    flat = np.fromiter((word for row in hashes for word in row), np.uint32, len(rows))
    return rows, (mixed32(flat) % np.uint32(WIDTH // 2)).astype(np.int64)


def _grams(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of 4 code points in a row (FNV-1a over them), a space before and after each text."""
    encoded = [f" {text} ".encode("utf-32-le", "surrogatepass") for text in texts]
    points = np.frombuffer(b"".join(encoded), "<u4").astype(np.uint32)
    rows = np.repeat(np.arange(len(texts)), [len(text) // 4 for text in encoded])
    size = max(0, len(points) - GRAM + 1)
    hashes = np.full(size, 0x811C9DC5, np.uint32)
    for place in range(GRAM):
        hashes = (hashes ^ points[place : place + size]) * np.uint32(0x01000193)
    inside = rows[:size] == rows[GRAM - 1 :]
    columns = (mixed32(hashes[inside]) % np.uint32(WIDTH // 2)).astype(np.int64)
    return rows[:size][inside], columns + WIDTH // 2


def _few(rows: np.ndarray, columns: np.ndarray, num_rows: int) -> np.ndarray:
    """Bool (entries,): in each row, those of the MAX_COLUMNS smallest hashes of their column."""
    sizes = np.bincount(rows, minlength=num_rows)
    kept = np.ones(len(rows), bool)
    many = np.flatnonzero(sizes[rows] > MAX_COLUMNS)
    order = many[np.lexsort((mixed32(columns[many].astype(np.uint32)), rows[many]))]
    sizes = sizes[sizes > MAX_COLUMNS]
    place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    kept[order[place >= MAX_COLUMNS]] = False
    return kept
