"""Parquet, read a few hundred rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from tunesmith.data.example import BadRow, Origin
from tunesmith.data.sources.row import Row
from tunesmith.errors import DataError

BATCH_ROWS = 512


def read(stream: BinaryIO, name: str) -> Iterator[Row | BadRow]:
    """Yield the rows, numbered from 1. Raises `DataError` when the file is damaged."""
    import pyarrow
    import pyarrow.parquet

    first = 1
    try:
        file = pyarrow.parquet.ParquetFile(stream)
        names = file.schema_arrow.names
        if len(set(names)) < len(names):
            twice = next(column for column in names if names.count(column) > 1)
            raise DataError(f"two columns are called {twice!r}", where=name, fix="give each column a name of its own")
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            yield from _rows(batch, name, first)
            first += batch.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"cannot be read as Parquet: {reason}", where=name, fix="fetch or write the file again"
        ) from error


def _rows(batch: Any, name: str, first: int) -> Iterator[Row | BadRow]:
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError):
        # One value of the batch has no Python form (text that is not UTF-8, a date after the year 9999): find its row.
        for number in range(batch.num_rows):
            yield _row(batch.slice(number, 1), Origin(name, first + number))
        return
    for number, values in enumerate(rows, first):
        yield Row(values, Origin(name, number))


def _row(batch: Any, origin: Origin) -> Row | BadRow:
    values = {}
    for column in batch.schema.names:
        try:
            values[column] = batch.column(column)[0].as_py()
        except (ValueError, OverflowError) as error:
            reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error}"
            return BadRow(origin, f"column '{column}' {reason}", "write the row again")
    return Row(values, origin)
