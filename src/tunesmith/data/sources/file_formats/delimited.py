"""CSV: a header, then one record for each row; fields in quotes may hold line breaks."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import BinaryIO

from tunesmith.data.example import BadRow, Origin
from tunesmith.data.sources.file_formats.lines import (
    MAX_LINE_BYTES,
    NOT_UTF8_FIX,
    NUL,
    NUL_FIX,
    TOO_LONG,
    TOO_LONG_FIX,
    bounded_lines,
    not_utf8,
)
from tunesmith.data.sources.row import Row
from tunesmith.errors import DataError

DELIMITERS = (",", "\t", ";")
"""Tried in this order on the header; the first that separates two columns is used."""

QUOTE_FIX = 'put fields that hold commas, quotes or line breaks between quotes, and write a quote inside one as ""'


class _Text:
    """Lines as text for the csv module, counting them; `flaw` says what is wrong with one since it was last cleared."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.lines = bounded_lines(stream, name)
        self.number = 0
        self.flaw: tuple[str, str] | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self.lines)
        self.number += 1
        if isinstance(line, bytes):
            if b"\0" in line:
                self.flaw = NUL, NUL_FIX
            try:
                return line.decode()
            except UnicodeDecodeError as error:
                self.flaw = not_utf8(error), NOT_UTF8_FIX
                return line.decode(errors="replace")
        self.flaw = TOO_LONG, TOO_LONG_FIX
        return "\n"


def read(stream: BinaryIO, name: str) -> Iterator[Row | BadRow]:
    """Yield one row for each record, numbered by the line it starts on. Raises `DataError` for an unusable header."""
    # The limit belongs to the whole process; it is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))
    text = _Text(stream, name)
    records, columns = _after_header(text, name)
    while True:
        first, text.flaw = text.number + 1, None
        try:
            fields = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(Origin(name, first), *(text.flaw or _explain(error, first, text.number)))
            continue
        if text.flaw:
            yield BadRow(Origin(name, first), *text.flaw)
        elif len(fields) == len(columns):
            yield Row(dict(zip(columns, fields, strict=True)), Origin(name, first))
        elif fields:  # a blank line gives no field at all
            what = f"the row has {_fields(len(fields))} where the header has {len(columns)}"
            yield BadRow(Origin(name, first), what, QUOTE_FIX)


def _after_header(text: _Text, name: str) -> tuple[Iterator[list[str]], list[str]]:
    """Return the records that follow the header, and the header's columns."""
    header = next((line for line in text if line.strip()), None)
    if header is None:
        raise DataError("the file has no header", where=name, fix="name the columns in its first line")
    where = f"{name}:{text.number}"
    if text.flaw:
        raise DataError(text.flaw[0].replace("the row", "the header"), where=where, fix=text.flaw[1])

    def chained() -> Iterator[str]:
        yield header
        yield from text

    delimiter = next((mark for mark in DELIMITERS if mark in header), ",")
    records = csv.reader(chained(), delimiter=delimiter, strict=True)
    try:
        columns = next(records)
    except csv.Error as error:
        raise DataError(f"the header is not CSV: {error}", where=where, fix=QUOTE_FIX) from error
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise DataError(f"the header names {twice[0]!r} twice", where=where, fix="give each column a name of its own")
    return records, columns


def _explain(error: csv.Error, first: int, last: int) -> tuple[str, str]:
    lines = f"lines {first} to {last}" if last > first else "the row"
    reason = {
        "unexpected end of data": "a quote is opened and never closed",
        "',' expected after '\"'": "text follows a closing quote",
    }.get(str(error), str(error))
    return f"{lines} cannot be read as CSV: {reason}", QUOTE_FIX


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"
