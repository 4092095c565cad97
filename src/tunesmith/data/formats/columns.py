"""Columns mapped by the recipe: templates such as `Summarise:\\n{code}` for the prompt and the answer."""

from __future__ import annotations

import json
import re
from collections.abc import Set
from functools import lru_cache
from typing import Any

from tunesmith.data.example import BadRow, Example, Origin
from tunesmith.data.formats.flaw import Flaw
from tunesmith.data.formats.text_label import read_label
from tunesmith.errors import DataError, did_you_mean
from tunesmith.recipe.data import FormatSection

PIECE = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")
"""A doubled brace, a column, or a brace that belongs to neither."""

Template = tuple[tuple[str, str | None], ...]
"""Pairs of literal text and the column that follows it; the last has none."""


def detects(columns: Set[str], rows: list[dict[str, Any]]) -> bool:
    """Never: the templates can only come from the recipe."""
    return False


def convert(row: dict[str, Any], origin: Origin, config: FormatSection) -> Example | BadRow:
    """Fill both templates from the row. Raises `DataError` when a template itself is wrong."""
    prompt = parse(config.prompt or "", "data.format.prompt")
    completion = parse(config.completion or "", "data.format.completion")
    try:
        request, answer = _fill(prompt, row), _fill(completion, row)
        if not request.strip():
            raise Flaw("the prompt is empty", "fill its columns in, or take the row out")
        if not answer.strip():
            raise Flaw("the completion is empty", "fill its columns in, or take the row out")
        label = read_label(row, config.label_column) if config.label_column else None
    except Flaw as flaw:
        return BadRow(origin, flaw.what, flaw.fix)
    return Example(
        [{"role": "user", "content": request}, {"role": "assistant", "content": answer}], origin, label=label
    )


@lru_cache(maxsize=64)
def parse(template: str, where: str) -> Template:
    """Take a template apart. `{column}` stands for a value, `{{` and `}}` for braces. Raises `DataError`."""
    pieces: list[tuple[str, str | None]] = []
    literal, end = "", 0
    for match in PIECE.finditer(template):
        literal += template[end : match.start()]
        end = match.end()
        if match[1]:
            pieces.append((literal, match[1].strip()))
            literal = ""
        elif len(match[0]) == 2:
            literal += match[0][0]
        else:
            what = f"the template has a lone '{match[0]}' at character {match.start() + 1}"
            raise DataError(what, where=where, fix="write {column} for a value, {{ and }} for braces")
    if not pieces:
        raise DataError("the template names no column", where=where, fix="write {column} where its value goes")
    return (*pieces, (literal + template[end:], None))


def _fill(template: Template, row: dict[str, Any]) -> str:
    return "".join(literal if column is None else literal + _value(row, column) for literal, column in template)


def _value(row: dict[str, Any], column: str) -> str:
    value = row.get(column)
    if isinstance(value, str):
        return value
    if value is None:
        if column in row:
            raise Flaw(f"column '{column}' is null", "fill it in, or take the row out")
        raise Flaw(f"the row has no column '{column}'", did_you_mean(column, map(str, row)))
    if isinstance(value, bool | int | float | list | dict):
        try:
            return json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError):
            raise Flaw(f"column '{column}' holds a value that JSON cannot hold", "write it as a string") from None
    return str(value)  # dates, decimals and the like from Parquet
