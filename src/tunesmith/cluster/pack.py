"""What a job takes along, as a zip: the recipe, the files it names, this package. Nothing else, and always the same."""

from __future__ import annotations

import hashlib
import io
import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from tunesmith.cluster.targets import TargetError
from tunesmith.recipe.dump import dump_recipe
from tunesmith.recipe.load import LoadedRecipe
from tunesmith.recipe.schema import Recipe
from tunesmith.recipe.sources import FileSource

RECIPE = "recipe.yaml"
FILES = "files"
LIMIT_MIB = 100
"""Largest package. Ray keeps it in the memory of the head; larger data has a URL."""

ENDING = re.compile(r"\.[A-Za-z0-9]{1,10}")
"""What is kept of a file's name."""

LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The time of every file in the zip: the first that the format can write."""


@dataclass(frozen=True)
class Package:
    """The zip, the hash of what is in it (SHA-256 in hex), the files it holds besides Tunesmith with their bytes, and
    where they were."""

    content: bytes
    digest: str
    files: dict[str, int]
    origins: dict[str, str]


def pack(loaded: LoadedRecipe) -> Package:
    """Pack a recipe. Raises TargetError for what cannot travel: a base model on this disk, data above the limit."""
    taken: dict[str, Path] = {}
    recipe = _moved(loaded, taken)
    for path in taken.values():
        if not (path.is_file() and os.access(path, os.R_OK)):
            fix = "correct the path in the recipe, or the file's permissions"
            raise TargetError("there is no such file, or it cannot be read", where=str(path), fix=fix)
    total = sum(path.stat().st_size for path in taken.values())
    if total > LIMIT_MIB << 20:
        largest = max(taken.values(), key=lambda path: path.stat().st_size)
        raise TargetError(
            f"the recipe's files are {total >> 20} MiB, and at most {LIMIT_MIB} travel with a job",
            where=str(largest),
            fix="upload them once and give the recipe their URL (s3://bucket/rows.jsonl)",
        )
    held = {RECIPE: dump_recipe(recipe).encode(), **{name: path.read_bytes() for name, path in taken.items()}}
    files = {name: len(content) for name, content in sorted(held.items())}
    held |= dict(_tunesmith())
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, content in sorted(held.items()):
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    # Of what is in it: another zlib packs the same files into other bytes.
    digest = hashlib.sha256()
    for name, content in sorted(held.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return Package(written.getvalue(), digest.hexdigest(), files, {name: str(path) for name, path in taken.items()})


def _moved(loaded: LoadedRecipe, taken: dict[str, Path]) -> Recipe:
    """The recipe with the names that its files have in the package; `taken` gets those files."""
    recipe = loaded.recipe
    changes: dict[str, Any] = {}
    data: dict[str, Any] = {}
    for split in ("train", "validation", "test"):
        sources = getattr(recipe.data, split)
        if sources:
            data[split] = tuple(
                _moved_source(one, f"{split}{number}", loaded.folder, taken) for number, one in enumerate(sources)
            )
    changes["data"] = recipe.data.model_copy(update=data)
    model: dict[str, Any] = {}
    if recipe.model.chat_template is not None:
        model["chat_template"] = _take(loaded.folder / Path(recipe.model.chat_template).expanduser(), "template", taken)
    source = loaded.folder / Path(recipe.model.source).expanduser()
    if "://" not in recipe.model.source and source.exists():
        raise TargetError(
            f"the base model is a folder of this machine: {recipe.model.source}",
            where="model.source",
            fix="give its hub id, or upload it and give its URL (s3://bucket/models/base)",
        )
    changes["model"] = recipe.model.model_copy(update=model)
    return recipe.model_copy(update=changes)


def _moved_source(source: Any, kind: str, folder: Path, taken: dict[str, Path]) -> Any:
    if isinstance(source, FileSource) and "://" not in source.path:
        from tunesmith.data.sources.location import GLOB_CHARACTERS, find_files

        files = [Path(file.path) for file in find_files(source.path, folder)]
        named = folder / Path(source.path).expanduser()
        if files != [named]:
            parts = takewhile(lambda part: not GLOB_CHARACTERS.search(part), named.parts)
            _refuse_astray(files, Path(*parts), source.path)
        found = [_take(file, kind, taken) for file in files]
        path = found[0] if len(found) == 1 else f"./{FILES}/{kind}-*"
        return source.model_copy(update={"path": path})
    if source.type == "dataset" and (folder / Path(source.path).expanduser()).is_dir():
        raise TargetError(
            f"the dataset is a folder of this machine: {source.path}",
            where=f"data.{kind.rstrip('0123456789')}",
            fix="give its hub id, or write it as Parquet and give the file or its URL",
        )
    return source


def _refuse_astray(files: list[Path], root: Path, pattern: str) -> None:
    """Raises TargetError where a pattern reaches out of its folder through a link: it says what kind of file is meant,
    not which. A file named by itself travels, wherever it lies."""
    for file in files:
        if not file.resolve().is_relative_to(root.resolve()):
            raise TargetError(
                f"{pattern} matches a link out of its folder, to {file.resolve()}: is it meant to leave this machine?",
                where=str(file),
                fix="name the file itself, or put it there in the place of the link",
            )


def _take(path: Path, kind: str, taken: dict[str, Path]) -> str:
    """Put a file on the list, under a name of ours that keeps its ending; gives that name as the recipe writes it."""
    whole = path.resolve()
    for name, known in taken.items():
        # Of another kind it is taken again: a pattern finds the files of a source by their kind.
        if known == whole and name.startswith(f"{FILES}/{kind}-"):
            return f"./{name}"
    endings = "".join(one for one in path.suffixes[-2:] if ENDING.fullmatch(one))
    name = f"{FILES}/{kind}-{len(taken):04d}{endings}"
    taken[name] = whole
    return f"./{name}"


def _tunesmith() -> Iterator[tuple[str, bytes]]:
    """This package's own files: what runs on the cluster is what you have here."""
    import tunesmith

    root = Path(tunesmith.__file__).parent
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if any(part.startswith(".") for part in inside.parts) or "__pycache__" in inside.parts:
            continue
        if path.is_file() and path.suffix not in (".pyc", ".so"):
            yield f"tunesmith/{inside.as_posix()}", path.read_bytes()
