"""ShareGPT: `{"conversations": [{"from": "human", "value": ...}, {"from": "gpt", "value": ...}]}`."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from tunesmith.data.example import BadRow, Example, Origin
from tunesmith.data.formats.chat import COLUMNS, first_turn_keys, missing
from tunesmith.data.formats.conversation import conversation
from tunesmith.data.formats.flaw import Flaw, kind, text
from tunesmith.errors import did_you_mean
from tunesmith.recipe.data import FormatSection

ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "system": "system",
    "tool": "tool",
    "observation": "tool",
}
"""`from` in the row -> role in the conversation."""


def detects(columns: Set[str], rows: list[dict[str, Any]]) -> bool:
    """Rows with `conversations` (or `messages`) whose turns have `from`."""
    return not columns.isdisjoint(COLUMNS) and "from" in first_turn_keys(rows)


def convert(row: dict[str, Any], origin: Origin, config: FormatSection) -> Example | BadRow:
    """Rename `from` and `value`; a column `system` becomes the system message."""
    turns = row.get("conversations")
    if turns is None:
        turns = row.get("messages")
    try:
        if turns is None:
            raise Flaw(*missing(row, "conversations"))
        if not isinstance(turns, list):
            raise Flaw(
                f"the conversations are {kind(turns)}, not a list", "write a list of objects with 'from' and 'value'"
            )
        messages = [_message(turn, number) for number, turn in enumerate(turns, 1)]
        if system := text(row, "system", required=False):
            messages.insert(0, {"role": "system", "content": system})
        return conversation(messages, origin, row.get("tools"))
    except Flaw as flaw:
        return BadRow(origin, flaw.what, flaw.fix)


def _message(turn: Any, number: int) -> dict[str, Any]:
    if not isinstance(turn, dict):
        raise Flaw(f"message {number} is {kind(turn)}, not an object", "write an object with 'from' and 'value'")
    speaker = turn.get("from")
    if not isinstance(speaker, str):
        raise Flaw(f"the 'from' of message {number} is {kind(speaker)}", f"write one of {', '.join(ROLES)}")
    role = ROLES.get(speaker.lower())
    if role is None:
        raise Flaw(f"message {number} is from the unknown '{speaker[:40]}'", did_you_mean(speaker[:40], ROLES))
    message = {"role": role, "content": turn.get("value")}
    if turn.get("weight") is not None:
        message["weight"] = turn["weight"]
    return message
