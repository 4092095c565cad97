"""The `model` section: which base model, from where."""

from __future__ import annotations

from typing import Literal

from tunesmith.recipe.section import Section


class ModelSection(Section):
    """The base model."""

    source: str
    """Short name (`tunesmith doctor --models` lists them), hub id, folder, GGUF file, or a folder's URL."""

    revision: str | None = None
    """Commit or tag of a hub model; the commit that was used is recorded either way."""

    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type of the frozen base weights; `auto` is bfloat16 where the hardware computes in it."""

    chat_template: str | None = None
    """A Jinja file that replaces the tokenizer's own chat template."""

    trust_remote_code: bool = False
    """Run Python code that the model's author ships with the weights. Off unless you trust the author."""
