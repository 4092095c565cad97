"""The reference of every section and field as Markdown, made from the models themselves."""

from __future__ import annotations

from tunesmith.recipe.fields import Field, walk
from tunesmith.recipe.schema import Recipe

BEGIN = "<!-- reference: written by `tunesmith recipe schema --markdown`, not by hand -->"
END = "<!-- end of reference -->"


def reference_markdown() -> str:
    """Give one table a section, with the values, default and meaning of each field."""
    parts = [BEGIN]
    for name, section, fields in walk(Recipe):
        heading = f"`{name}`" if name else "The top of the file"
        documentation = " ".join((section.__doc__ or "").split())
        parts.append(f"### {heading}\n\n{documentation}\n\n{_table(fields)}".rstrip())
    return "\n\n".join([*parts, END]) + "\n"


def _table(fields: list[Field]) -> str:
    if not fields:
        return ""
    rows = [
        f"| `{field.name}` | {field.values} | {_default(field)} | {_cell(field.documentation)} |" for field in fields
    ]
    return "\n".join(["| Field | Value | Default | Meaning |", "|---|---|---|---|", *rows])


def _default(field: Field) -> str:
    return "required" if field.default is None else f"`{field.default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
