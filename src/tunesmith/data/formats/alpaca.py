"""Alpaca: `{"instruction": ..., "input": ..., "output": ..., "system": ..., "history": [[question, answer]]}`."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from tunesmith.data.example import BadRow, Example, Origin
from tunesmith.data.formats.conversation import conversation
from tunesmith.data.formats.flaw import Flaw, kind, text
from tunesmith.recipe.data import FormatSection


def detects(columns: Set[str], rows: list[dict[str, Any]]) -> bool:
    """Rows with `instruction` and `output`."""
    return "instruction" in columns and "output" in columns


def convert(row: dict[str, Any], origin: Origin, config: FormatSection) -> Example | BadRow:
    """Put `input` under `instruction` as the user's message; earlier turns come from `history`.

    The preamble of the original Alpaca prompt is not added: the model's own chat template takes its place.
    """
    try:
        instruction = text(row, "instruction")
        extra = text(row, "input", required=False)
        request = f"{instruction}\n\n{extra}" if extra.strip() else instruction
        messages = [*_history(row.get("history")), {"role": "user", "content": request}]
        messages.append({"role": "assistant", "content": text(row, "output")})
        if system := text(row, "system", required=False):
            messages.insert(0, {"role": "system", "content": system})
        return conversation(messages, origin, row.get("tools"))
    except Flaw as flaw:
        return BadRow(origin, flaw.what, flaw.fix)


def _history(history: Any) -> list[dict[str, str]]:
    fix = "write a list of [question, answer] pairs"
    if history is None:
        return []
    if not isinstance(history, list):
        raise Flaw(f"'history' is {kind(history)}, not a list", fix)
    messages = []
    for number, pair in enumerate(history, 1):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(side, str) for side in pair):
            raise Flaw(f"entry {number} of 'history' is not a pair of strings", fix)
        messages += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    return messages
