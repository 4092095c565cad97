"""Text and label: the model answers each text with the name of its class."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from tunesmith.data.example import BadRow, Example, Origin
from tunesmith.data.formats.flaw import Flaw, kind, text
from tunesmith.recipe.data import FormatSection

TEXT_COLUMNS = ("text", "sentence", "content", "review", "utterance")
LABEL_COLUMNS = ("label", "category", "intent", "class", "sentiment")
"""Usual names, the first that the row has; others are named in the recipe."""


def detects(columns: Set[str], rows: list[dict[str, Any]]) -> bool:
    """Rows with a usual name for the text and one for the label."""
    return not columns.isdisjoint(TEXT_COLUMNS) and not columns.isdisjoint(LABEL_COLUMNS)


def convert(row: dict[str, Any], origin: Origin, config: FormatSection) -> Example | BadRow:
    """Make a user turn of the text, under the instruction if there is one, and an answer of the label."""
    text_column = config.text_column or _first(TEXT_COLUMNS, row)
    label_column = config.label_column or _first(LABEL_COLUMNS, row)
    try:
        request = text(row, text_column)
        label = read_label(row, label_column)
    except Flaw as flaw:
        return BadRow(origin, flaw.what, flaw.fix)
    if config.instruction:
        request = f"{config.instruction}\n\n{request}"
    return Example([{"role": "user", "content": request}, {"role": "assistant", "content": label}], origin, label=label)


def read_label(row: dict[str, Any], column: str) -> str:
    """Return a row's class as text; a whole number is kept as its digits. Raises `Flaw`."""
    value = row.get(column)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        raise Flaw(f"'{column}' is {kind(value)}, not one label", "give each row one label")
    return text(row, column).strip()


def _first(names: tuple[str, ...], row: dict[str, Any]) -> str:
    return next((name for name in names if name in row), names[0])
