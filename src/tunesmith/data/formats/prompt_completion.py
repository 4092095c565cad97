"""Prompt and completion: two strings, or two lists of messages as TRL has them."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from tunesmith.data.example import BadRow, Example, Origin
from tunesmith.data.formats.conversation import conversation
from tunesmith.data.formats.flaw import Flaw, text
from tunesmith.recipe.data import FormatSection

PAIRS = (("prompt", "completion"), ("prompt", "response"), ("question", "answer"), ("input", "output"))
"""Columns of question and answer; the first pair that the row has."""


def detects(columns: Set[str], rows: list[dict[str, Any]]) -> bool:
    """Rows with one of the pairs; `input` and `output` beside `instruction` are Alpaca's."""
    return any(
        question in columns and answer in columns and not (question == "input" and "instruction" in columns)
        for question, answer in PAIRS
    )


def convert(row: dict[str, Any], origin: Origin, config: FormatSection) -> Example | BadRow:
    """Make a user turn and an answer of two strings; lists of messages are joined."""
    question, answer = next((pair for pair in PAIRS if pair[0] in row and pair[1] in row), PAIRS[0])
    try:
        messages = _turns(row, question, "user") + _turns(row, answer, "assistant")
        return conversation(messages, origin, row.get("tools"))
    except Flaw as flaw:
        return BadRow(origin, flaw.what, flaw.fix)


def _turns(row: dict[str, Any], column: str, role: str) -> list[Any]:
    value = row.get(column)
    if not isinstance(value, list):
        return [{"role": role, "content": text(row, column)}]
    if not value:
        raise Flaw(f"'{column}' is an empty list", "fill it in, or take the row out")
    if role == "assistant" and isinstance(value[0], dict) and value[0].get("role") != "assistant":
        raise Flaw(
            f"'{column}' does not start with an assistant turn", "put the turns before the answer into the prompt"
        )
    return value
