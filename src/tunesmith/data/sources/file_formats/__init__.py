"""How rows are written in a file: one module for each `file_format`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Protocol

from tunesmith.data.example import BadRow
from tunesmith.data.sources.file_formats import delimited, json_document, jsonl, parquet
from tunesmith.data.sources.row import Row


class FileFormat(Protocol):
    """What a module of this package offers."""

    def read(self, stream: BinaryIO, name: str) -> Iterator[Row | BadRow]:
        """Yield the rows of one unpacked file called `name`; a row that cannot be read is a `BadRow`."""


FILE_FORMATS: dict[str, FileFormat] = {"jsonl": jsonl, "json": json_document, "csv": delimited, "parquet": parquet}
"""`file_format` in the recipe -> the module that reads it."""

ENDINGS = {
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "json": "json",
    "csv": "csv",
    "tsv": "csv",
    "parquet": "parquet",
}
"""Ending of a file's name -> `file_format`."""
