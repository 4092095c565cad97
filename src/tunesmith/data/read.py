"""Rows of a recipe's data section as checked conversations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from tunesmith.data.example import BadRow, Example, Message
from tunesmith.data.formats import FORMATS, Format
from tunesmith.data.sources import describe, read_rows
from tunesmith.data.sources.row import Row
from tunesmith.errors import DataError
from tunesmith.recipe.data import DataSection

Part = Literal["train", "validation", "test"]

ROWS_TO_DETECT = 100
"""The format of a source is told from this many of its first rows."""


def read_examples(data: DataSection, folder: Path, part: Part) -> Iterator[Example | BadRow]:
    """Yield the conversations of the sources of one part, in order, and a `BadRow` for each row that is none.

    `folder` is where relative paths start: the recipe's folder. A part without sources of its own yields nothing; rows
    of `train` may name their split in `Example.split`. Memory does not grow with the number of rows. Raises
    `DataError` when a source cannot be read or its format cannot be told.
    """
    for source in getattr(data, part) or ():
        rows = read_rows(source, folder)
        chosen, rows = _choose_format(rows, data, describe(source), part)
        yield from _convert(rows, chosen, data)


def _convert(rows: Iterator[Row | BadRow], chosen: Format | None, data: DataSection) -> Iterator[Example | BadRow]:
    config, system = data.format, data.system
    for row in rows:
        if isinstance(row, BadRow) or chosen is None:
            yield row  # type: ignore[misc]  # without a format there are only bad rows
            continue
        values, origin, split = row
        example = chosen.convert(values, origin, config)
        if isinstance(example, Example):
            if system is not None and example.messages[0]["role"] != "system":
                example.messages.insert(0, Message(role="system", content=system))
            if split is not None:
                example = replace(example, split=split)
        yield example


def _choose_format(
    rows: Iterator[Row | BadRow], data: DataSection, source: str, part: Part
) -> tuple[Format | None, Iterator[Row | BadRow]]:
    """Return the format, and all of the rows again; None when every row is bad."""
    if data.format.type != "auto":
        return FORMATS[data.format.type], rows
    first = list(islice(rows, ROWS_TO_DETECT))
    while not any(isinstance(row, Row) for row in first):
        more = list(islice(rows, ROWS_TO_DETECT))
        if not more:
            return None, iter(first)
        first += more
    values = [row.values for row in first if isinstance(row, Row)]
    return FORMATS[_detect(values, source, part)], chain(first, rows)


def _detect(rows: list[dict[str, Any]], source: str, part: Part) -> str:
    columns = dict.fromkeys(str(column) for row in rows for column in row)
    fitting = [name for name, candidate in FORMATS.items() if candidate.detects(columns.keys(), rows)]
    if len(fitting) == 1:
        return fitting[0]
    names = list(columns)
    seen = f"{', '.join(names[:20])}{' ...' if len(names) > 20 else ''}" or "none"
    if fitting:
        what = f"the rows of {source} fit more than one format: {', '.join(fitting)} (columns: {seen})"
        raise DataError(what, where=f"data.{part}", fix=f"set data.format to {' or '.join(fitting)}")
    raise DataError(
        f"cannot tell the format of {source} (columns: {seen})",
        where=f"data.{part}",
        fix=f"set data.format to one of {', '.join(FORMATS)}; "
        "or map columns: format: {type: columns, prompt: '{a_column}', completion: '{another}'}",
    )
