"""OpenAI chat messages: `{"messages": [{"role": ..., "content": ...}], "tools": [...]}`."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import Any

from tunesmith.data.example import BadRow, Example, Origin
from tunesmith.data.formats.conversation import conversation
from tunesmith.data.formats.flaw import Flaw
from tunesmith.recipe.data import FormatSection

COLUMNS = ("messages", "conversations")
"""Where the turns stand; the first that the row has."""


def detects(columns: Set[str], rows: list[dict[str, Any]]) -> bool:
    """Rows with `messages`, or with `conversations` of role and content; turns with `from` are ShareGPT's."""
    keys = first_turn_keys(rows)
    return "from" not in keys and ("messages" in columns or ("conversations" in columns and "role" in keys))


def convert(row: dict[str, Any], origin: Origin, config: FormatSection) -> Example | BadRow:
    """Check the messages and take them as they are."""
    turns = row.get("messages")
    if turns is None:
        turns = row.get("conversations")
    try:
        if turns is None:
            raise Flaw(*missing(row, "messages"))
        if row.get("functions"):
            raise Flaw("the row has the old 'functions'", "write them as 'tools'")
        found = conversation(turns, origin, row.get("tools"))
        label = row.get(config.label_column) if config.label_column is not None else None
        return found if label is None else replace(found, label=str(label))
    except Flaw as flaw:
        return BadRow(origin, flaw.what, flaw.fix)


def first_turn_keys(rows: list[dict[str, Any]]) -> set[str]:
    """Collect the keys that the first turn of each row has."""
    keys: set[str] = set()
    for row in rows:
        for column in COLUMNS:
            turns = row.get(column)
            if isinstance(turns, list) and turns and isinstance(turns[0], dict):
                keys.update(key for key, value in turns[0].items() if value is not None)
    return keys


def missing(row: dict[str, Any], column: str) -> tuple[str, str]:
    """Say that a column is not there or null, and which ones are."""
    if column in row:
        return f"'{column}' is null", "fill it in, or take the row out"
    seen = ", ".join(sorted(map(str, row))[:8]) or "none at all"
    return f"the row has no '{column}'", f"its columns are: {seen}; rename one, or set data.format"
