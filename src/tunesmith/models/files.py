"""Which files of a folder make up a base model, and the hash over them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model", "*.txt")
"""Weights, config and tokenizer. Pickled weights (`*.bin`, `*.pt`) are never fetched nor loaded."""

DESCRIPTION = tuple(pattern for pattern in MODEL_FILES if pattern != "*.safetensors")
"""Config and tokenizer, a few megabytes of a model of any size."""


def model_files(names: Iterable[str], patterns: Iterable[str] = MODEL_FILES) -> list[str]:
    """Those of the names that belong to a model, sorted."""
    patterns = tuple(patterns)
    return sorted(name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns))


def has_weights(names: Iterable[str]) -> bool:
    """Whether one of them is a file of safetensors."""
    return any(name.endswith(".safetensors") for name in names)


def has_all_weights(folder: Path) -> bool:
    """Whether every file of safetensors is there that the folder's index names, or one where there is no index."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return has_weights(path.name for path in folder.iterdir())
    named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return all((folder / name).is_file() for name in named)


def content_revision(folder: Path, weights: bool = True) -> str:
    """`sha256:` and the hash over the names and contents of a model folder's weights, config and tokenizer.

    Without `weights` of the latter two only, which takes no time for a model of any size.
    """
    from tunesmith.store.content import describe

    files = {path.name: path for path in folder.iterdir() if path.is_file()}
    names = model_files(files, MODEL_FILES if weights else DESCRIPTION)
    return f"sha256:{describe({name: files[name] for name in names}).content_hash}"
