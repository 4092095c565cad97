"""Which files of a folder make up a base model, and the hash over them."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model", "*.txt")
"""Weights, config and tokenizer. Pickled weights (`*.bin`, `*.pt`) are never fetched nor loaded."""


def model_files(names: Iterable[str]) -> list[str]:
    """Those of the names that belong to a model, sorted."""
    return sorted(name for name in names if any(fnmatchcase(name, pattern) for pattern in MODEL_FILES))


def has_weights(names: Iterable[str]) -> bool:
    """Whether one of them is a file of safetensors."""
    return any(name.endswith(".safetensors") for name in names)


def content_revision(folder: Path) -> str:
    """`sha256:` and the hash over the names and contents of a model folder's weights, config and tokenizer."""
    from tunesmith.store.content import describe

    files = {path.name: path for path in folder.iterdir() if path.is_file()}
    return f"sha256:{describe({name: files[name] for name in model_files(files)}).content_hash}"
