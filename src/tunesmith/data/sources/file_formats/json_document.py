"""JSON: one array of objects, or an object whose `data` is such an array, read item by item."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from tunesmith.data.example import BadRow, Origin
from tunesmith.data.sources.file_formats.jsonl import (
    LONE_SURROGATE,
    LONE_SURROGATE_FIX,
    NAMES,
    has_lone_surrogate,
)
from tunesmith.data.sources.file_formats.lines import MAX_LINE_BYTES, NOT_UTF8_FIX
from tunesmith.data.sources.row import Row
from tunesmith.errors import DataError

CHUNK_BYTES = 1 << 18
SPACE = re.compile(r"[ \t\n\r]*")
EXPECTED = "write an array of objects, or an object whose 'data' is such an array"


def read(stream: BinaryIO, name: str) -> Iterator[Row | BadRow]:
    """Yield one row for each item, numbered from 1.

    An item that is not an object is a `BadRow`. A file that is not JSON raises `DataError` with its line: after a
    syntax error nobody can tell where the next item starts.
    """
    text = _Text(stream, name)
    _go_to_items(text)
    number, separator = 0, "," if text.peek() != "]" else text.take()
    while separator == ",":
        number += 1
        origin = Origin(name, number)
        values, source = text.value()
        if isinstance(values, dict):
            if not source.isascii() and _has_broken_bytes(source):
                yield BadRow(origin, "the row is not UTF-8", NOT_UTF8_FIX)
            elif ("\\ud" in source or "\\uD" in source) and has_lone_surrogate(values):
                yield BadRow(origin, LONE_SURROGATE, LONE_SURROGATE_FIX)
            else:
                yield Row(values, origin)
        else:
            yield BadRow(origin, f"the row is {NAMES[type(values)]}, not an object", "write each row as an object")
        separator = text.take()
        if separator not in (",", "]"):
            raise text.error(f"expected ',' or ']' after item {number}, found {_found(separator)}")


def _go_to_items(text: _Text) -> None:
    """Move past the `[` of the array."""
    first = text.take()
    while first == "{" or first == ",":
        key, _ = text.value()
        if not isinstance(key, str) or text.take() != ":":
            raise text.error("expected a name and ':'")
        if key == "data":
            first = text.take()
            if first != "[":
                raise text.error("'data' is not an array")
            return
        text.value()
        first = text.take()
    if first == "[":
        return
    if first == "}":
        fix = "set file_format to jsonl" if text.peek() == "{" else EXPECTED
        raise DataError("the file is one object without 'data'", where=text.name, fix=fix)
    raise text.error(f"expected '[' or '{{', found {_found(first)}")


class _Text:
    """A window on the file's text that grows until the value at its start is complete, and forgets what was taken."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name = name
        self._stream = stream
        # Bytes that are not UTF-8 become lone surrogates: their item is found without giving up on the others.
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._scan = json.JSONDecoder().raw_decode
        self._window = ""
        self._position = 0
        self._lines_before = 0
        self._ended = False

    def peek(self) -> str:
        """Return the next character that is not white space, or "" at the end."""
        while True:
            self._position = SPACE.match(self._window, self._position).end()  # type: ignore[union-attr]
            if self._position < len(self._window):
                return self._window[self._position]
            if not self._grow(CHUNK_BYTES):
                return ""

    def take(self) -> str:
        """Return the next character that is not white space, and move past it."""
        character = self.peek()
        self._position += len(character)
        return character

    def value(self) -> tuple[Any, str]:
        """Return the next JSON value and its source text."""
        self.peek()
        wanted = CHUNK_BYTES
        while True:
            try:
                value, end = self._scan(self._window, self._position)
                # At the very end of the window a number may have lost its last digits.
                if end < len(self._window) or not self._grow(wanted):
                    source = self._window[self._position : end]
                    self._position = end
                    return value, source
            except json.JSONDecodeError as error:
                if not self._grow(wanted):
                    raise self.error(error.msg, error.pos) from None
            except (RecursionError, ValueError) as error:
                reason = "nested too deeply" if isinstance(error, RecursionError) else "a number has too many digits"
                raise self.error(reason) from None
            if len(self._window) - self._position > MAX_LINE_BYTES:
                raise self.error(f"a value does not end within {MAX_LINE_BYTES >> 20} MiB")
            wanted *= 2

    def error(self, reason: str, position: int | None = None) -> DataError:
        """Say where the file stops being the JSON that is expected."""
        end = self._position if position is None else position
        line = self._lines_before + self._window.count("\n", 0, end) + 1
        return DataError(f"the file is not the JSON expected here: {reason}", where=f"{self.name}:{line}", fix=EXPECTED)

    def _grow(self, num_bytes: int) -> bool:
        """Read on; False at the end of the file."""
        if self._ended:
            return False
        block = self._stream.read(num_bytes)
        self._ended = not block
        self._lines_before += self._window.count("\n", 0, self._position)
        self._window = self._window[self._position :] + self._decoder.decode(block, final=self._ended)
        self._position = 0
        return True


def _has_broken_bytes(source: str) -> bool:
    try:
        source.encode()
    except UnicodeEncodeError:
        return True
    return False


def _found(character: str) -> str:
    return repr(character) if character else "the end of the file"
