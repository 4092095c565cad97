"""How a row becomes a conversation: one module for each `data.format`."""

from __future__ import annotations

from collections.abc import Set
from typing import Any, Protocol

from tunesmith.data.example import BadRow, Example, Origin
from tunesmith.data.formats import alpaca, chat, columns, prompt_completion, sharegpt, text_label
from tunesmith.recipe.data import FormatSection


class Format(Protocol):
    """What a module of this package offers."""

    def detects(self, columns: Set[str], rows: list[dict[str, Any]]) -> bool:
        """Tell from the columns' names and the first rows whether they are of this format."""

    def convert(self, row: dict[str, Any], origin: Origin, config: FormatSection) -> Example | BadRow:
        """Make a conversation of one row, or say what is wrong with it. The row itself is not changed."""


FORMATS: dict[str, Format] = {
    "chat": chat,
    "sharegpt": sharegpt,
    "alpaca": alpaca,
    "prompt-completion": prompt_completion,
    "text-label": text_label,
    "columns": columns,
}
"""`data.format` in the recipe -> the module that reads it."""
