"""Rows in JSONL, JSON, CSV and Parquet files, on disk or behind a URL."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tunesmith.data.example import BadRow
from tunesmith.data.sources.compression import COMPRESSIONS, unpacked
from tunesmith.data.sources.file_formats import ENDINGS, FILE_FORMATS
from tunesmith.data.sources.location import URL, File, find_files, shown
from tunesmith.data.sources.row import Row
from tunesmith.errors import DataError
from tunesmith.recipe.sources import FileSource

SPLITS = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation"}
SPLITS |= {"test": "test"}
"""What a split column may say -> the split."""

HASH_BYTES = 1 << 20
NO_ROWS_FIX = "put rows into it, or take it out of the recipe"


def read(source: FileSource, folder: Path) -> Iterator[Row | BadRow]:
    """Yield the rows of every file, in the order of the files' names.

    Raises `DataError` when nothing matches, a file's ending is unknown, or a file is empty or damaged as a whole.
    """
    files = find_files(source.path, folder)
    kinds = [_kind(file.name, source.file_format) for file in files]
    for file, (file_format, compression) in zip(files, kinds, strict=True):
        rows = _read_file(file, file_format, compression)
        yield from (_with_split(rows, source.split) if source.split else rows)


def fingerprint(source: FileSource, folder: Path) -> str:
    """Hash the contents of all files, in the order of their names (SHA-256 of the SHA-256 of each)."""
    total = hashlib.sha256()
    for file in find_files(source.path, folder):
        digest = hashlib.sha256()
        with file.open() as stream:
            while block := stream.read(HASH_BYTES):
                digest.update(block)
        total.update(digest.digest())
    return total.hexdigest()


def describe(source: FileSource) -> str:
    """Name the files as the user did."""
    return shown(source.path)


def _read_file(file: File, file_format: str, compression: str | None) -> Iterator[Row | BadRow]:
    with file.open() as stored, unpacked(stored, compression, file.name) as stream:
        if not stream.peek(1):  # type: ignore[attr-defined]
            raise DataError("the file is empty", where=file.name, fix=NO_ROWS_FIX)
        rows = FILE_FORMATS[file_format].read(stream, file.name)
        first = next(rows, None)
        if first is None:
            raise DataError(
                "the file has no rows", where=file.name, fix="put rows into it, or take it out of the recipe"
            )
        yield first
        yield from rows


def _kind(name: str, file_format: str) -> tuple[str, str | None]:
    """Tell file format and compression from a name such as `rows.jsonl.gz`."""
    path = name.partition("?")[0] if URL.match(name) and name.startswith("http") else name
    endings = [ending.lstrip(".").lower() for ending in PurePosixPath(path).suffixes]
    compression = endings.pop() if endings and endings[-1] in COMPRESSIONS else None
    if file_format == "auto":
        if not endings or endings[-1] not in ENDINGS:
            ending = f".{endings[-1]}" if endings else PurePosixPath(path).name
            raise DataError(
                f"cannot tell the file's format from the ending '{ending}'",
                where=name,
                fix=f"set file_format to one of {', '.join(FILE_FORMATS)}",
            )
        file_format = ENDINGS[endings[-1]]
    if file_format == "parquet" and compression:
        raise DataError(
            f"a Parquet file cannot be read from inside a .{compression} file",
            where=name,
            fix="unpack it: Parquet files are compressed inside",
        )
    return file_format, compression


def _with_split(rows: Iterator[Row | BadRow], column: str) -> Iterator[Row | BadRow]:
    for row in rows:
        if isinstance(row, BadRow):
            yield row
            continue
        value = row.values.get(column)
        split = SPLITS.get(value.strip().lower()) if isinstance(value, str) else None
        if split:
            yield row._replace(split=split)
        elif value is None:
            yield BadRow(row.origin, f"the split column '{column}' is missing", "write train, validation or test in it")
        else:
            what = f"the split column '{column}' says {str(value)[:40]!r}"
            yield BadRow(row.origin, what, "write train, validation or test in it")
