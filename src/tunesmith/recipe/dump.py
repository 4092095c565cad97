"""Write a recipe back as YAML a person likes to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from tunesmith.recipe.scalars import plain_scalar
from tunesmith.recipe.section import Section


@dataclass(frozen=True, slots=True)
class Line:
    """A line of YAML and the dotted field whose value it starts, if it starts one."""

    text: str
    field: str | None = None


def dump_recipe(section: Section, *, defaults: bool = False) -> str:
    """Give the YAML of a recipe or a part of it; settings left at their default are written only when asked for."""
    return "".join(f"{line.text}\n" for line in dump_lines(section, defaults=defaults))


def dump_lines(section: Section, *, defaults: bool = False) -> list[Line]:
    """Give the YAML line by line, each with the field it belongs to."""
    return list(_mapping(content(section, defaults=defaults), "", 0))


def content(section: Section, *, defaults: bool = True) -> dict[str, Any]:
    """Give the plain values of a section: what can be read back into an equal one."""
    values = section.model_dump(mode="json", exclude_defaults=not defaults)
    train = values.get("train", values)
    if isinstance(train, dict) and train.get("batch_tokens") is not None:
        train.pop("batch_size", None)  # the two may not both be written
    return values


def flow(value: Any) -> str:
    """Give a value on one line, in YAML's flow style."""
    if isinstance(value, Section):
        value = content(value, defaults=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(str(key))}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    return _scalar(value)


def _mapping(values: Mapping[str, Any], prefix: str, depth: int) -> Iterator[Line]:
    for key, value in values.items():
        field = f"{prefix}{key}"
        indent = "  " * depth
        written = _scalar(key)
        if isinstance(value, Mapping) and value:
            if field == "evaluate.json_schema":  # one value, though a mapping: its keys are not fields
                yield Line(f"{indent}{written}:", field)
                yield from (Line(line.text) for line in _mapping(value, f"{field}.", depth + 1))
                continue
            yield Line(f"{indent}{written}:")
            yield from _mapping(value, f"{field}.", depth + 1)
        elif isinstance(value, Sequence) and any(isinstance(item, Mapping) for item in value):
            yield Line(f"{indent}{written}:")
            yield from _items(value, field, depth + 1)
        elif isinstance(value, str) and _fits_block(value):
            yield Line(f"{indent}{written}: |-", field)
            yield from (Line(f"{indent}  {part}" if part else "") for part in value.split("\n"))
        else:
            yield Line(f"{indent}{written}: {flow(value)}", field)


def _items(values: Sequence[Any], field: str, depth: int) -> Iterator[Line]:
    indent = "  " * depth
    for number, value in enumerate(values):
        if not isinstance(value, Mapping) or not value:
            yield Line(f"{indent}- {flow(value)}", f"{field}.{number}")
            continue
        for position, line in enumerate(_mapping(value, f"{field}.{number}.", depth + 1)):
            yield Line(f"{indent}- {line.text[2 * depth + 2 :]}", line.field) if position == 0 else line


def _fits_block(text: str) -> bool:
    """Whether a text reads well, and reads back the same, as a `|-` block."""
    lines = text.split("\n")
    printable = all(character.isprintable() or character == "\n" for character in text)
    return len(lines) > 1 and printable and all(lines[0:1] + lines[-1:]) and not lines[0].startswith(" ")


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)


def _text(text: str) -> str:
    """Leave a word bare where every reader of YAML 1.1 or 1.2 takes it for the same text; else quote it."""
    listed: str = yaml.safe_dump([text], default_flow_style=True, width=float("inf"), allow_unicode=True)
    if listed == f"[{text}]\n" and _reads_as_text(text):  # bare even within brackets
        return text
    quoted: str = yaml.safe_dump(text, default_style='"', width=float("inf"), allow_unicode=True)
    return quoted.removesuffix("\n")


def _reads_as_text(text: str) -> bool:
    try:
        return isinstance(plain_scalar(text), str)
    except ValueError:
        return False
