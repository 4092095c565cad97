"""A dataset version on disk: packed rows for training, conversations for evaluation, and the manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.data.example import Example
from tunesmith.errors import DataError
from tunesmith.store.durable import sweep, temporary_sibling

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset version. `version` is the hash of all that went into it."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def version(self) -> str:
        """What lineage records."""
        return str(self.manifest["version"])

    def counts(self, part: str) -> dict[str, int]:
        """`examples`, `rows`, `tokens`, `label_tokens` of a part."""
        return dict(self.manifest["parts"][part])

    def rows(self, part: str) -> PackedRows:
        """The packed rows of a part."""
        return PackedRows(self.folder, part)

    def examples(self, part: str) -> Iterator[Example]:
        """The conversations of a part, in the order they were read."""
        import pyarrow.parquet as pq

        from tunesmith.data.spool import to_example

        for batch in pq.ParquetFile(self.folder / f"{part}-examples.parquet").iter_batches():
            for row in batch.to_pylist():
                yield to_example(row)


def open_dataset(folder: Path) -> Dataset:
    """Open a dataset version. Raises DataError when there is none."""
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(f"there is no dataset version in {folder}", fix="run `tunesmith data prepare RECIPE`")
    try:
        return Dataset(folder, json.loads(path.read_text(encoding="utf-8")))
    except ValueError:
        raise DataError("the manifest is damaged", where=str(path), fix=f"remove {folder} and prepare again") from None


@dataclass(frozen=True)
class PackedRow:
    """One packed row: see `shards.row_schema` for the shapes."""

    input_ids: np.ndarray
    document_lengths: np.ndarray
    label_positions: np.ndarray
    label_weights: np.ndarray


class PackedRows:
    """Random access to the packed rows of a part, mapped from disk.

    The Parquet shards are unpacked once beside themselves into an Arrow file that the system can map: all workers of a
    machine share its pages, and memory does not grow with the data.
    """

    def __init__(self, folder: Path, part: str) -> None:
        self.shards = sorted(folder.glob(f"{part}-[0-9]*.parquet"))
        self.mapped = folder / f".{part}.arrow"

    @cached_property
    def _file(self) -> Any:
        import pyarrow as pa

        if not self.mapped.is_file():
            self._unpack()
        return pa.ipc.open_file(pa.memory_map(str(self.mapped)))

    def _unpack(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        from tunesmith.data.shards import row_schema

        sweep(self.mapped.parent)
        temporary = temporary_sibling(self.mapped)
        try:
            with pa.ipc.new_file(temporary, row_schema()) as writer:
                for file in map(pq.ParquetFile, self.shards):
                    for group in range(file.num_row_groups):
                        writer.write_table(file.read_row_group(group).combine_chunks())
            temporary.replace(self.mapped)
        finally:
            temporary.unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self.num_tokens)

    @cached_property
    def num_tokens(self) -> np.ndarray:
        """(rows,) tokens of each row."""
        return self._lengths("input_ids")

    @cached_property
    def num_labels(self) -> np.ndarray:
        """(rows,) learnt tokens of each row."""
        return self._lengths("label_positions")

    def _lengths(self, column: str) -> np.ndarray:
        import pyarrow.compute as pc

        lengths = [pc.list_value_length(batch.column(column)).to_numpy() for batch in self._batches()]
        return np.concatenate(lengths).astype(np.int64) if lengths else np.zeros(0, np.int64)

    def _batches(self) -> Iterator[Any]:
        return (self._file.get_batch(number) for number in range(self._file.num_record_batches))

    @cached_property
    def _ends(self) -> np.ndarray:
        """(batches,) the number of the row behind the last one of each batch of the mapped file."""
        return np.cumsum([len(batch) for batch in self._batches()], dtype=np.int64)

    def __getitem__(self, index: int) -> PackedRow:
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        number = int(np.searchsorted(self._ends, index, "right"))
        batch = self._file.get_batch(number)
        place = index - (int(self._ends[number - 1]) if number else 0)
        names = ("input_ids", "document_lengths", "label_positions", "label_weights")
        return PackedRow(*(batch.column(name)[place].values.to_numpy() for name in names))
