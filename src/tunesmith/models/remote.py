"""A model folder in an object store, fetched once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tunesmith.errors import ModelError
from tunesmith.models.files import has_weights, model_files
from tunesmith.store.durable import new_folder, sweep
from tunesmith.store.file_system import file_system, without_secrets

STAMPS = ("ETag", "etag", "LastModified", "mtime", "updated", "last_modified")
"""What drivers call the tag or the time of a file."""


def fetch_folder(url: str, cache: Path) -> Path:
    """Copy the model's files from an object-store URL into the cache and return the folder there.

    The folder is named by the URL and by the names, sizes, tags and times of what lies there, so a changed model is
    fetched anew. Raises ModelError when there is no model at the URL or it cannot be reached.
    """
    shown = without_secrets(url)
    if shown != url.rstrip("/"):
        # It would be written into the registry with the recipe.
        raise ModelError(
            f"the address of the model {shown} carries a key or options",
            where="model.source",
            fix="give s3://bucket/folder, and the keys and the region in the environment",
        )
    try:
        files, root = file_system(url)
        return _fetch(files, root.rstrip("/"), shown, cache)
    except ImportError as error:
        scheme = url.partition("://")[0]
        raise ModelError(
            f"{scheme}:// needs a package that is not installed ({error})",
            where="model.source",
            fix="install that package",
        ) from error
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        raise ModelError(
            f"{shown} cannot be read: {reason.strip().splitlines()[0][:300]}",
            where="model.source",
            fix="check the address, the network, and the credentials in the environment",
        ) from error


def _fetch(files: Any, root: str, shown: str, cache: Path) -> Path:
    try:
        entries = {entry["name"].rpartition("/")[2]: entry for entry in files.ls(root, detail=True)}
    except FileNotFoundError:
        entries = {}
    wanted = {name: entries[name] for name in model_files(entries) if entries[name]["type"] == "file"}
    if "config.json" not in wanted or not has_weights(wanted):
        raise ModelError(
            f"there is no model at {shown}",
            where="model.source",
            fix="give the URL of a folder with config.json and .safetensors files; pickled weights are not read",
        )
    described = [[name, entry["size"], *(str(entry.get(stamp)) for stamp in STAMPS)] for name, entry in wanted.items()]
    folder = cache / f"remote-{hashlib.sha256(repr((shown, described)).encode()).hexdigest()[:16]}"
    if not folder.is_dir():
        with new_folder(folder) as unfinished:
            sweep(cache)
            for name, entry in wanted.items():
                files.get_file(entry["name"], str(unfinished / name))
    return folder
