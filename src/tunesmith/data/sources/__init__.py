"""Where rows come from: one module for each `type` of source, read lazily and in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from tunesmith.data.example import BadRow
from tunesmith.data.sources import dataset, files, python_docstrings
from tunesmith.data.sources.row import Row


class SourceReader(Protocol):
    """What a module of this package offers. `folder` is where relative paths start: the recipe's folder."""

    def read(self, source: Any, folder: Path) -> Iterator[Row | BadRow]:
        """Yield every row; a row that cannot be read is a `BadRow`, a source that cannot be read a `DataError`."""

    def fingerprint(self, source: Any, folder: Path) -> str:
        """Hash what the source holds: the same content gives the same hash wherever it lies."""

    def describe(self, source: Any) -> str:
        """Name the source as the user named it, without passwords."""


SOURCES: dict[str, SourceReader] = {
    "file": files,
    "dataset": dataset,
    "python-docstrings": python_docstrings,
}
"""`type` in the recipe -> the module that reads it."""


def read_rows(source: Any, folder: Path) -> Iterator[Row | BadRow]:
    """Yield the rows of one `recipe.sources` model. Raises `DataError` when the source as a whole cannot be read."""
    return SOURCES[source.type].read(source, folder)


def fingerprint(source: Any, folder: Path) -> str:
    """Return 64 hexadecimal digits that change when the source's content changes, and not when it moves."""
    return SOURCES[source.type].fingerprint(source, folder)


def describe(source: Any) -> str:
    """Name a source as the user named it."""
    return SOURCES[source.type].describe(source)
