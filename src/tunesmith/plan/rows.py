"""How much a recipe makes a model read: from its prepared dataset version, else counted from its rows, else told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.errors import PlanError, TunesmithError
from tunesmith.plan.time import Workload, guess_workload, workload_of
from tunesmith.recipe.load import LoadedRecipe
from tunesmith.store.home import Home

CHARACTERS_PER_TOKEN = 4.0
"""Of English prose, about; code and other scripts have fewer. An estimate until the rows are prepared."""

MARKS_PER_MESSAGE = 8
"""Tokens with which a chat template marks a turn, about."""

MOST_BYTES = 200_000_000
"""Larger files are not read for an estimate."""

DOCSTRINGS = (4320, 335.0, 56.0)
"""Rows of `python-docstrings`, and their characters and those of their answers on the mean: counted on Python 3.11."""


@dataclass(frozen=True)
class Rows:
    """What is to be read; `origin` says how it is known, `exact` whether it was counted in tokens."""

    workload: Workload
    origin: str
    exact: bool


def find_rows(
    loaded: LoadedRecipe, home: Home, examples: int | None = None, tokens_per_example: float | None = None
) -> Rows:
    """The workload of a recipe. What is told goes before what is counted.

    Raises PlanError when rows can neither be found nor counted here, saying with which flags to tell them.
    """
    recipe = loaded.recipe
    if examples is not None and tokens_per_example is not None:
        told = f"told: {examples:,} examples of {tokens_per_example:g} tokens"
        return Rows(guess_workload(recipe, examples, tokens_per_example), told, False)
    if examples is None and tokens_per_example is None and (manifest := _prepared(loaded, home)) is not None:
        return Rows(workload_of(manifest, recipe), f"dataset version {manifest['version']}", True)
    number, characters, answers, messages = _counted(loaded)
    length = tokens_per_example or characters / CHARACTERS_PER_TOKEN + messages * MARKS_PER_MESSAGE
    share = min(1.0, max(1.0, answers / CHARACTERS_PER_TOKEN) / length)
    number = examples or number
    origin = f"estimate: {number:,} rows of {length:.0f} tokens, by {CHARACTERS_PER_TOKEN:g} characters a token"
    return Rows(guess_workload(recipe, number, length, share), origin, False)


def _prepared(loaded: LoadedRecipe, home: Home) -> dict[str, Any] | None:
    """The manifest of the newest dataset version that was made from these settings and, for files, these contents."""
    recipe = loaded.recipe
    wanted = recipe.data.model_dump(mode="json", exclude={"ray_data_min_rows"})
    files = sorted(home.datasets.glob("*/manifest.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for file in files:
        try:
            manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            same = (
                manifest["settings"] == wanted
                and manifest["model"]["source"] == recipe.model.source
                and manifest["sequence_length"] == recipe.train.sequence_length
                and manifest["packing"] == recipe.train.packing
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if same and _unchanged(loaded, manifest):
            return manifest
    return None


def _unchanged(loaded: LoadedRecipe, manifest: dict[str, Any]) -> bool:
    from tunesmith.data.sources import fingerprint

    data = loaded.recipe.data
    sources = [source for part in ("train", "validation", "test") for source in getattr(data, part) or ()]
    made = [one["fingerprint"] for one in manifest["sources"]]
    try:
        return len(sources) == len(made) and all(
            source.type != "file" or fingerprint(source, loaded.folder) == mark
            for source, mark in zip(sources, made, strict=True)
        )
    except TunesmithError:
        return False


def _counted(loaded: LoadedRecipe) -> tuple[int, float, float, float]:
    """Rows of `train`; characters of a row, of what is learnt of it, and messages, on the mean."""
    data = loaded.recipe.data
    if all(source.type == "python-docstrings" for source in data.train):
        return DOCSTRINGS[0] * len(data.train), DOCSTRINGS[1], DOCSTRINGS[2], 3.0
    number = characters = answers = messages = 0
    for example in _examples(loaded):
        number += 1
        messages += len(example.messages)
        for message in example.messages:
            length = len(message["content"] or "")
            characters += length
            answers += length if message["role"] in data.train_on else 0
    if not number:
        raise _unknown("no row of data.train can be read")
    return number, characters / number, answers / number, messages / number


def _examples(loaded: LoadedRecipe) -> Iterator[Any]:
    from tunesmith.data.example import Example
    from tunesmith.data.read import read_examples

    for source in loaded.recipe.data.train:
        if source.type == "dataset" or (source.type == "file" and "://" in source.path):
            raise _unknown(f"rows elsewhere are not fetched for a plan: {source.path}")
        if source.type == "file" and (size := _size(loaded.folder, source.path)) > MOST_BYTES:
            raise _unknown(f"{source.path} has {size / 1e9:.1f} GB, too much to read for an estimate")
    try:
        yield from (
            row for row in read_examples(loaded.recipe.data, loaded.folder, "train") if isinstance(row, Example)
        )
    except ImportError as error:
        raise _unknown(f"rows of this kind cannot be read without the package {error.name}") from None
    except TunesmithError as error:
        raise _unknown(error.what) from None


def _size(folder: Path, pattern: str) -> int:
    path = Path(pattern).expanduser()
    found = [path] if path.is_absolute() else folder.glob(pattern)
    return sum(file.stat().st_size for file in found if file.is_file())


def _unknown(what: str) -> PlanError:
    return PlanError(
        what,
        where="data.train",
        fix="say how much there is: --examples 2000 --tokens-per-example 350; or run `tunesmith data prepare`",
    )
