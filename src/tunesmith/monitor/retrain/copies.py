"""What a retrain has written, copied beside the artefacts where those lie in an object store: the driver that goes on
with it may be on a machine that has none of it.

`retrains/NAME/N/files.json` names the copies by file with their SHA-256; it is written last, so it never names one that
is not there.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from tunesmith.errors import StoreError
from tunesmith.monitor.traffic.place import Place
from tunesmith.registry.check import check_name
from tunesmith.store.durable import write_whole
from tunesmith.store.home import Home

FOLDER = "retrains"
LIST = "files.json"
PLAIN = re.compile(r"[a-z][a-z-]{0,40}\.(jsonl|json|yaml|jinja)")
"""The names of a retrain's own files. The list comes from outside: no other name is written to this disk."""


def folder_of(home: Home, name: str, number: int) -> Path:
    """Where the rows, the recipe and the answers of a retrain lie on this machine."""
    return home.folder / FOLDER / name / str(number)


def keep(home: Home, name: str, number: int) -> None:
    """Copy what is new or has changed; nothing where the artefacts are on this machine, too. Raises StoreError."""
    place, folder = Place(home, FOLDER), folder_of(home, name, number)
    if place.is_local or not folder.is_dir():
        return
    found = {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.is_file() and PLAIN.fullmatch(path.name)
    }
    digests = {file: hashlib.sha256(content).hexdigest() for file, content in found.items()}
    before = _listed(place, name, number)
    if digests == before:
        return
    for file, digest in digests.items():
        if before.get(file) != digest:
            place.write(_copy(name, number, file, digest), found[file])
    place.write(f"{_under(name, number)}/{LIST}", (json.dumps(digests, indent=2) + "\n").encode())


def fetch(home: Home, name: str, number: int) -> None:
    """Bring what is listed and is not on this machine, or was left here before it was written anew elsewhere.

    Raises StoreError for a copy that is missing or damaged.
    """
    place, folder = Place(home, FOLDER), folder_of(home, name, number)
    if place.is_local:
        return
    for file, digest in _listed(place, name, number).items():
        path = folder / file
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest:
            continue
        content = _read(place, _copy(name, number, file, digest))
        if content is None or hashlib.sha256(content).hexdigest() != digest:
            raise StoreError(
                f"the copy of {file} of {name} retrain {number} is {'missing' if content is None else 'damaged'}",
                where=f"{place.shown}/{FOLDER}/{_copy(name, number, file, digest)}",
                fix=f"bring {folder} from the machine that wrote it, or end it: `tunesmith retrain stop {name}`",
            )
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)


def _listed(place: Place, name: str, number: int) -> dict[str, str]:
    """File -> SHA-256; empty where nothing was copied. Raises StoreError for a list that is none."""
    where = f"{_under(name, number)}/{LIST}"
    content = _read(place, where)
    if content is None:
        return {}
    try:
        found = json.loads(content)
        if all(PLAIN.fullmatch(file) and re.fullmatch("[0-9a-f]{64}", digest) for file, digest in found.items()):
            return dict(found)
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass
    raise StoreError(
        "this is no list of a retrain's files", where=f"{place.shown}/{FOLDER}/{where}",
        fix=f"remove it, and end the retrain: `tunesmith retrain stop {name}`",
    )  # fmt: skip


def _read(place: Place, path: str) -> bytes | None:
    try:
        with place.open(path) as source:
            return source.read()
    except FileNotFoundError:
        return None


def _under(name: str, number: int) -> str:
    return f"{check_name(name)}/{number}"


def _copy(name: str, number: int, file: str, digest: str) -> str:
    # Named by content too: a driver that dies between two of them leaves the ones that the list names as they were.
    return f"{_under(name, number)}/{digest[:12]}-{file}"
