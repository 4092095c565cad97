"""Lines of bytes, each of bounded length, and what makes one unusable before it is parsed."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from tunesmith.errors import DataError

MAX_LINE_BYTES = 32 << 20
"""Longest line, JSON item or CSV row that is read into memory: 32 MiB, far above any conversation a model can take."""

TOO_LONG = f"the row is longer than {MAX_LINE_BYTES >> 20} MiB"
TOO_LONG_FIX = "split the row, or look for a missing line break"
NUL = "the row holds NUL bytes"
NUL_FIX = "the file is damaged, or not UTF-8: write it again as UTF-8"
NOT_UTF8_FIX = "write the file again as UTF-8"


class TooLong:
    """Stands for a line above the limit; its bytes were passed over."""


def bounded_lines(stream: BinaryIO, name: str) -> Iterator[bytes | type[TooLong]]:
    """Yield each line with its line break, or `TooLong`; the byte order mark is taken off.

    Raises `DataError` when the file is UTF-16 or UTF-32, which would make every line of it unreadable.
    """
    readline = stream.readline
    line = readline(MAX_LINE_BYTES + 1)
    if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError("the file is UTF-16, not UTF-8", where=name, fix=NOT_UTF8_FIX)
    line = line.removeprefix(codecs.BOM_UTF8)
    while line:
        if len(line) > MAX_LINE_BYTES:
            yield TooLong
            while line and not line.endswith(b"\n"):
                line = readline(MAX_LINE_BYTES + 1)
        else:
            yield line
        line = readline(MAX_LINE_BYTES + 1)


def not_utf8(error: UnicodeDecodeError, first_column: int = 1) -> str:
    """Say which byte is not UTF-8."""
    return f"byte {error.start + first_column} of the line is not UTF-8 (0x{error.object[error.start]:02x})"
