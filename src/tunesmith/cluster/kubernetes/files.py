"""The recipe as the cluster gets it, and the small files that travel with it in a ConfigMap."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tunesmith.errors import TunesmithError
from tunesmith.recipe.load import LoadedRecipe
from tunesmith.recipe.sources import DatasetSource, FileSource

MOST_BYTES = 200_000
"""Of all that travels, as JSON: `kubectl apply` keeps a copy in an annotation, which may have 256 KiB."""

FOLDER = "/srv/tunesmith/recipe"
"""Where the recipe and its files lie in the pod that the driver runs in."""

VOLUME = "/srv/tunesmith/home"
"""Where the shared home folder is mounted; paths below it are taken to be on the cluster."""

RECIPE = "recipe.yaml"


@dataclass(frozen=True)
class Luggage:
    """The data of a ConfigMap, and where each of its keys goes below `FOLDER`."""

    data: dict[str, str]
    binary: dict[str, str]
    paths: dict[str, str]

    @property
    def size(self) -> int:
        """In bytes, as JSON."""
        return len(json.dumps([self.data, self.binary], ensure_ascii=False).encode())

    def items(self) -> list[dict[str, str]]:
        """As a volume lists them."""
        return [{"key": key, "path": path} for key, path in self.paths.items()]


def pack(loaded: LoadedRecipe, text: str) -> Luggage:
    """Gather the recipe, as `text`, and what it names that lies beside it.

    Raises TunesmithError for files that are elsewhere on this machine, or too large together.
    """
    found = {path: loaded.folder / path for path in _files(loaded)}
    packed = Luggage({RECIPE: text}, {}, {RECIPE: RECIPE})
    for number, (path, file) in enumerate(sorted(found.items())):
        if file.stat().st_size > MOST_BYTES:
            raise _too_large(path)
        content = file.read_bytes()
        key = f"file-{number}"
        packed.paths[key] = path
        try:
            packed.data[key] = content.decode("utf-8")
        except UnicodeDecodeError:
            packed.binary[key] = base64.b64encode(content).decode("ascii")
        if packed.size > MOST_BYTES:
            raise _too_large(path)
    return packed


def check_model(loaded: LoadedRecipe) -> None:
    """Refuse a base model that the cluster cannot have. Raises TunesmithError."""
    source = loaded.recipe.model.source
    local = source.startswith((".", "/", "~")) or source.lower().endswith(".gguf") or (loaded.folder / source).exists()
    if local and not _is_there(source):
        raise TunesmithError(
            f"the base model {source} is on this machine alone",
            where="model.source",
            fix=f"give a hub id, a URL such as s3://bucket/model, or a folder below {VOLUME} on the cluster's volume",
        )


def _files(loaded: LoadedRecipe) -> list[str]:
    """Files beside the recipe that it names, as paths from its folder."""
    data, named = loaded.recipe.data, []
    for part in ("train", "validation", "test"):
        for number, source in enumerate(getattr(data, part) or ()):
            where = f"data.{part}.{number}.path"
            if isinstance(source, FileSource) and not _is_there(source.path):
                named += _beside(loaded.folder, source.path, where)
            elif isinstance(source, DatasetSource) and (loaded.folder / Path(source.path).expanduser()).is_dir():
                raise _elsewhere(f"the folder {source.path} is on this machine alone", where)
    if (template := loaded.recipe.model.chat_template) and not _is_there(template):
        named += _beside(loaded.folder, template, "model.chat_template")
    return named


def _beside(folder: Path, pattern: str, where: str) -> list[str]:
    written = PurePosixPath(pattern)
    if written.is_absolute() or pattern.startswith("~") or ".." in written.parts:
        raise _elsewhere(f"{pattern} is on this machine, and not beside the recipe", where)
    if "**" in pattern:
        raise _elsewhere(f"{pattern} goes through folders of any depth", where)
    files = sorted(folder.glob(pattern)) if any(mark in pattern for mark in "*?[") else [folder / pattern]
    if not files or not all(file.is_file() for file in files):
        raise TunesmithError(f"there is no file {pattern}", where=where, fix="check the path, or give a URL")
    if not all(file.resolve().is_relative_to(folder.resolve()) for file in files):
        raise _elsewhere(f"{pattern} is a link to elsewhere on this machine", where)  # a recipe may be a stranger's
    return [file.relative_to(folder).as_posix() for file in files]


def _is_there(path: str) -> bool:
    return "://" in path or PurePosixPath(path).is_relative_to(VOLUME)


def _elsewhere(what: str, where: str) -> TunesmithError:
    fix = f"give a URL such as s3://bucket/rows.jsonl, or a path below {VOLUME} on the cluster's volume"
    return TunesmithError(what, where=where, fix=fix)


def _too_large(path: str) -> TunesmithError:
    return TunesmithError(
        f"the recipe and its files take more than {MOST_BYTES // 1000} kB together, too much for a ConfigMap",
        where=path,
        fix="upload the rows and give their URL, such as s3://bucket/rows.jsonl",
    )


def config_map(name: str, labels: dict[str, str], packed: Luggage) -> dict[str, Any]:
    """The ConfigMap itself."""
    made: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": labels},
        "data": packed.data,
    }
    if packed.binary:
        made["binaryData"] = packed.binary
    return made
