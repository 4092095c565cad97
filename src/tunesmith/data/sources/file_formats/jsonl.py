"""JSONL: one JSON object on each line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from tunesmith.data.example import BadRow, Origin
from tunesmith.data.sources.file_formats.lines import (
    NOT_UTF8_FIX,
    NUL,
    NUL_FIX,
    TOO_LONG,
    TOO_LONG_FIX,
    TooLong,
    bounded_lines,
    not_utf8,
)
from tunesmith.data.sources.row import Row

ONE_OBJECT = "write each row as one JSON object on a line of its own"
AN_ARRAY = "the file looks like a JSON array: set file_format to json"
NAMES = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}
LONE_SURROGATE = "the row holds half of a surrogate pair (\\ud800 to \\udfff), which is not a character"
LONE_SURROGATE_FIX = "mend the text where it was cut, and write the row again"


def read(stream: BinaryIO, name: str) -> Iterator[Row | BadRow]:
    """Yield one row for each line that is not blank, numbered from 1."""
    loads = json.loads
    for number, line in enumerate(bounded_lines(stream, name), 1):
        origin = Origin(name, number)
        if line is TooLong:
            yield BadRow(origin, TOO_LONG, TOO_LONG_FIX)
            continue
        try:
            values = loads(line.decode())  # type: ignore[union-attr]
        except (ValueError, RecursionError) as error:
            if line.strip():  # type: ignore[union-attr]
                yield BadRow(origin, *explain(error, line))  # type: ignore[arg-type]
            continue
        if type(values) is not dict:
            fix = AN_ARRAY if number == 1 and type(values) is list else ONE_OBJECT
            yield BadRow(origin, f"the row is {NAMES[type(values)]}, not an object", fix)
        elif (b"\\ud" in line or b"\\uD" in line) and has_lone_surrogate(values):  # type: ignore[operator]
            yield BadRow(origin, LONE_SURROGATE, LONE_SURROGATE_FIX)
        else:
            yield Row(values, origin)


def has_lone_surrogate(values: Any) -> bool:
    """Tell whether some text could not be written as UTF-8: JSON allows such escapes, tokenizers do not."""
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def explain(error: Exception, line: bytes) -> tuple[str, str]:
    """Say what is wrong with a line that is not JSON, and what to do."""
    if isinstance(error, UnicodeDecodeError):
        return not_utf8(error), NOT_UTF8_FIX
    if b"\0" in line:
        return NUL, NUL_FIX
    if isinstance(error, RecursionError):
        return "the row is nested too deeply", ONE_OBJECT
    if isinstance(error, json.JSONDecodeError):
        fix = AN_ARRAY if line.strip() in (b"[", b"[{") else ONE_OBJECT
        column = min(error.pos, len(error.doc.rstrip())) + 1
        return f"the row is not JSON: {error.msg} (column {column})", fix
    return "the row holds a number with too many digits", "write the number as a string"
