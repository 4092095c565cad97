"""A model folder in an object store, fetched once."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tunesmith.errors import ModelError
from tunesmith.store.durable import new_folder


def fetch_folder(url: str, cache: Path) -> Path:
    """Copy the model's files from an object-store URL into the cache and return the folder there.

    The folder is named by the URL and by the names, sizes and tags of what lies there, so a changed model is fetched
    anew. Raises ModelError when there is no model at the URL.
    """
    from tunesmith.models.resolve import WEIGHT_FILES
    from tunesmith.store.object_store import file_system

    files, root = file_system(url)
    listing = {
        Path(entry["name"]).name: entry
        for pattern in WEIGHT_FILES
        for entry in files.glob(f"{root.rstrip('/')}/{pattern}", detail=True).values()
    }
    if "config.json" not in listing:
        raise ModelError(
            f"there is no model at {url}", where="model.source", fix="give the URL of a folder with config.json"
        )
    described = "\n".join(f"{name} {entry['size']} {entry.get('mtime')}" for name, entry in sorted(listing.items()))
    key = hashlib.sha256(f"{url}\n{described}".encode()).hexdigest()[:16]
    folder = cache / f"remote-{key}"
    if not folder.is_dir():
        with new_folder(folder) as unfinished:
            for name, entry in listing.items():
                files.get_file(entry["name"], str(unfinished / name))
    return folder
