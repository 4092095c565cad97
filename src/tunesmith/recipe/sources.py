"""Where rows come from: one class per `type` of source."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tunesmith.recipe.address import Address
from tunesmith.recipe.section import Section


class FileSource(Section):
    """Rows in JSONL, JSON, CSV or Parquet files."""

    type: Literal["file"] = "file"

    path: Address
    """A path, a glob such as `rows/*.jsonl`, or a URL that fsspec can open (`s3://bucket/rows.parquet`). Relative paths
    start at the recipe's folder."""

    file_format: Literal["auto", "jsonl", "json", "csv", "parquet"] = "auto"
    """How to read the files; `auto` goes by the ending (`.gz` and `.zst` in front of it are unpacked)."""

    split: str | None = None
    """Name of a column that says `train`, `validation` or `test` for each row, when the files carry their own split."""


class DatasetSource(Section):
    """A dataset of the Hugging Face hub, or a folder written by `Dataset.save_to_disk`."""

    type: Literal["dataset"]

    path: Address
    """Hub id such as `PolyAI/banking77`, or the folder."""

    name: str | None = None
    """Configuration of the hub dataset, where it has several."""

    split: str = "train"
    """Which of its splits to read."""

    revision: str | None = None
    """Commit or tag of the hub dataset. The hash of what was read is recorded either way."""


class PythonDocstringsSource(Section):
    """Functions of the Python installation this runs on, with the first paragraph of their docstring.

    Rows have the columns `code`, `summary`, `module` and `name`; the code is without its docstring.
    """

    type: Literal["python-docstrings"]

    min_summary_chars: int = Field(20, ge=1)
    """Shorter summaries are left out."""

    max_summary_chars: int = Field(160, ge=1)
    """Longer summaries are left out."""

    min_code_chars: int = Field(60, ge=1)
    """Shorter functions are left out."""

    max_code_chars: int = Field(700, ge=1)
    """Longer functions are left out."""


SourceUnion = Annotated[FileSource | DatasetSource | PythonDocstringsSource, Field(discriminator="type")]


def _spelled_out(value: Any) -> Any:
    """Accept `rows.jsonl` and `{path: rows.jsonl}` for `{type: file, path: rows.jsonl}`."""
    if isinstance(value, str):
        return {"type": "file", "path": value}
    if isinstance(value, dict) and "type" not in value and "path" in value:
        return {"type": "file", **value}
    return value


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


Source = Annotated[SourceUnion, BeforeValidator(_spelled_out)]
Sources = Annotated[tuple[Source, ...], BeforeValidator(_as_list), Field(min_length=1)]
