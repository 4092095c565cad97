"""What is wrong with a row, raised deep inside a format and turned into a `BadRow` at its edge."""

from __future__ import annotations

from typing import Any


class Flaw(Exception):
    """A mistake in one row: `what` is a sentence without a full stop, `fix` one that says what to do."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


def kind(value: Any) -> str:
    """Name the type of a JSON value in plain words."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    names = {str: "a string", list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), f"of type {type(value).__name__}")


def text(row: dict[str, Any], column: str, *, required: bool = True) -> str:
    """Return a column's text; "" for one that is missing or null and not required. Raises `Flaw`."""
    value = row.get(column)
    if isinstance(value, str):
        if required and not value.strip():
            raise Flaw(f"'{column}' is empty", "fill it in, or take the row out")
        return value
    if value is None:
        if not required:
            return ""
        what = f"'{column}' is null" if column in row else f"the row has no '{column}'"
        raise Flaw(what, "fill it in, or take the row out")
    raise Flaw(f"'{column}' is {kind(value)}, not a string", "write it as a string")
