"""One record of numbers for each row, on disk: what joins need, without the text."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tunesmith.data.audit.minhash import bands, rows_per_band, signatures
from tunesmith.data.audit.words import Shingles
from tunesmith.data.example import Example, Origin

RECORD = np.dtype(
    [
        ("stream", "u1"), ("part", "u1"), ("whole", "u8"), ("prompt", "u8"), ("answer", "u8"), ("grams", "u8"),
        ("num_grams", "i8"), ("num_characters", "i8"), ("num_answer_characters", "i8"), ("num_tokens", "i8"),
        ("label", "i4"), ("file", "i4"), ("line", "i8"),
    ]
)  # fmt: skip
MAX_LABELS = 50_000
OTHER_LABELS = -2
NO_LABEL = -1


@dataclass
class Names:
    """Numbers for the few strings that many rows share: parts, files, labels."""

    limit: int | None = None
    known: dict[str, int] = field(default_factory=dict)

    def number(self, name: str) -> int:
        """Number of a name; -2 once there are too many to remember."""
        found = self.known.get(name)
        if found is None:
            if self.limit is not None and len(self.known) >= self.limit:
                return OTHER_LABELS
            found = self.known[name] = len(self.known)
        return found

    def name(self, number: int) -> str:
        """The name of a number."""
        return list(self.known)[number]


class Spool:
    """Collects records, 3-grams and bands in temporary files while rows stream by."""

    def __init__(self, folder: Path, threshold: float) -> None:
        self.folder = folder
        self.band_size = rows_per_band(threshold)
        self.streams = Names()
        self.parts = Names()
        self.files = Names()
        self.labels = Names(limit=MAX_LABELS)
        self.num_rows = 0
        self.num_bands = 0
        self._open: dict[str, BinaryIO] = {}

    def add(self, records: np.ndarray, grams: Shingles) -> None:
        """Append rows of RECORD with their 3-grams."""
        records["grams"] = grams.set_hashes()
        records["num_grams"] = np.diff(grams.offsets)
        banded = bands(signatures(grams), self.band_size)
        self.num_bands = banded.shape[1]
        self.num_rows += len(records)
        for name, array in (("records", records), ("grams", grams.values), ("bands", banded)):
            if name not in self._open:
                self._open[name] = (self.folder / name).open("wb")
            self._open[name].write(np.ascontiguousarray(array).tobytes())

    def origin_numbers(self, example: Example) -> tuple[int, int]:
        """File number and line of a row."""
        return self.files.number(example.origin.file), example.origin.line

    def close(self) -> None:
        """Finish the files, so that they can be mapped."""
        for file in self._open.values():
            file.close()

    def mapped(self, name: str, dtype: np.dtype | type, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """A file as a read-only array."""
        if name not in self._open:
            return np.zeros(shape or 0, dtype=dtype)
        return np.memmap(self.folder / name, dtype=dtype, mode="r", shape=shape)


@contextmanager
def spool(threshold: float) -> Iterator[Spool]:
    """A spool whose files go when the block ends."""
    with tempfile.TemporaryDirectory(prefix="tunesmith-audit-") as folder:
        opened = Spool(Path(folder), threshold)
        try:
            yield opened
        finally:
            opened.close()


@dataclass(frozen=True)
class Table:
    """All rows as numbers. `near` has the number of the first row of each row's near-duplicate component.

    `parts` are in the order given, then those that rows name themselves.
    """

    records: np.ndarray
    parts: tuple[str, ...]
    labels: tuple[str, ...]
    files: tuple[str, ...]
    near: np.ndarray
    similarity: Similarity

    def column(self, name: str) -> np.ndarray:
        """One column, in memory."""
        return np.ascontiguousarray(self.records[name])

    def where(self, row: int) -> str:
        """File and line of a row."""
        record = self.records[row]
        return str(Origin(self.files[int(record["file"])], int(record["line"])))

    def rows_of(self, part: str) -> np.ndarray:
        """Numbers of the rows of a part, ascending."""
        if part not in self.parts:
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero(self.records["part"] == self.parts.index(part))

    def by_part(self, rows: np.ndarray) -> dict[str, int]:
        """How many of some rows each part has."""
        counts = np.bincount(self.records["part"][rows], minlength=len(self.parts))
        return {part: int(count) for part, count in zip(self.parts, counts, strict=True) if count}

    def open_prompts(self) -> np.ndarray:
        """For each row, whether so many others share its prompt that it is a request with many right answers."""
        return run_lengths(self.column("prompt")) > max(20, 0.1 * len(self.records))


@dataclass(frozen=True)
class Similarity:
    """Exact Jaccard similarity of pairs of rows, from their 3-grams on disk."""

    grams: np.ndarray
    offsets: np.ndarray
    max_elements: int = 1 << 20

    def of_pairs(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Similarity of left[i] and right[i]; float64."""
        sizes = (self.offsets[left + 1] - self.offsets[left]) + (self.offsets[right + 1] - self.offsets[right])
        slices = np.searchsorted(np.cumsum(sizes), np.arange(self.max_elements, sizes.sum(), self.max_elements))
        edges = [0, *np.unique(slices + 1), len(left)]
        return np.concatenate(
            [
                np.zeros(0),
                *(self._of_few(left[a:b], right[a:b]) for a, b in pairwise(edges) if a < b),
            ]
        )

    def of(self, left: int, right: int) -> float:
        """Similarity of two rows."""
        return float(self.of_pairs(np.array([left]), np.array([right]))[0])

    def _of_few(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        keys = np.concatenate([self._keyed(left), self._keyed(right)])
        keys.sort()
        shared = np.bincount((keys[1:][keys[1:] == keys[:-1]] >> np.uint64(32)).astype(np.int64), minlength=len(left))
        total = self.offsets[left + 1] - self.offsets[left] + self.offsets[right + 1] - self.offsets[right]
        return shared / np.maximum(total - shared, 1)

    def _keyed(self, rows: np.ndarray) -> np.ndarray:
        """3-grams of rows, each under the number of its pair in the upper half."""
        sizes = self.offsets[rows + 1] - self.offsets[rows]
        ends = np.cumsum(sizes)
        at = np.arange(int(ends[-1])) + np.repeat(self.offsets[rows] - (ends - sizes), sizes)
        pair = np.repeat(np.arange(len(rows), dtype=np.uint64), sizes)
        return (pair << np.uint64(32)) | self.grams[at]


def run_lengths(values: np.ndarray) -> np.ndarray:
    """For each value, how often it occurs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return counts[inverse]


def first_rows(keys: np.ndarray) -> np.ndarray:
    """For each row, the number of the first row with the same key."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first[inverse]


def label_names(numbers: Sequence[int], names: Sequence[str]) -> list[str]:
    """Labels of numbers."""
    return [names[number] if number >= 0 else "(other labels)" for number in numbers]
