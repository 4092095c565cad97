"""Rows and base model on a node that does not see the driver's: fetched once for all its workers, checked, kept."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import tempfile
from dataclasses import replace
from pathlib import Path

from tunesmith.data.dataset import MANIFEST
from tunesmith.errors import DataError, ModelError, TrainError
from tunesmith.models.files import content_revision
from tunesmith.models.resolve import resolve_model
from tunesmith.store.durable import new_folder, sweep, write_whole
from tunesmith.train.job import TrainJob
from tunesmith.train.remote.desk import BASE, DATASET, LARGEST_BASE
from tunesmith.train.remote.terms import PIECE, Described, Link, plain

NODE_FOLDER = "TUNESMITH_NODE_FOLDER"
"""Names a node's own folder for what it fetches; workers there then use none of the driver's files."""


def node_folder() -> Path:
    """The node's own folder, for this user alone. Raises TrainError when there can be none."""
    given = os.environ.get(NODE_FOLDER)
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(given) if given else Path(tempfile.gettempdir()) / f"tunesmith-{user}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Anybody may have made a name in the folder for temporary files.
        if hasattr(os, "getuid") and ((folder.is_symlink() and not given) or folder.stat().st_uid != user):
            raise PermissionError(1, "it belongs to somebody else")
    except OSError as error:
        raise TrainError(
            f"{socket.gethostname()} has no folder for what it fetches from the driver ({error.strerror})",
            where=str(folder),
            fix=f"set {NODE_FOLDER} on the nodes to a folder that their workers may write to",
        ) from error
    return folder


def with_own_files(job: TrainJob, link: Link) -> TrainJob:
    """The job with rows, base model and cache in the node's own folder.

    Raises DataError when the rows are not those of the dataset version, ModelError when the base is too large to travel
    and the node has no other way to it, TrainError when the disk does not take them.
    """
    from filelock import FileLock

    cache = node_folder()
    try:
        with FileLock(cache / ".fetch.lock"):
            dataset = fetched(link, DATASET, cache)
            assert dataset is not None
            _check(dataset)
            base = fetched(link, BASE, cache) or _own_base(job, cache)
    except OSError as error:
        raise TrainError(
            f"{socket.gethostname()} cannot keep what it fetches from the driver ({error.strerror or error})",
            where=str(error.filename or cache),
            fix=f"free space there, or set {NODE_FOLDER} on the nodes to a folder on another disk",
        ) from error
    return replace(job, dataset_folder=str(dataset), model_folder=str(base), cache_folder=str(cache))


def fetched(link: Link, what: str, cache: Path) -> Path | None:
    """A folder of the driver, copied; named by what it holds, so it is fetched anew when that changes."""
    files: list[Described] | None = link.call("listing", what)
    if files is None:
        return None
    named = hashlib.sha256(repr([(plain(f.name), f.size, f.sha256) for f in files]).encode()).hexdigest()
    target = cache / f"{what}-{named[:16]}"
    if not target.is_dir():
        sweep(cache)
        with new_folder(target) as unfinished:
            for file in files:
                _copy(link, what, file, unfinished / file.name)
    return target


def _copy(link: Link, what: str, file: Described, target: Path) -> None:
    hashed = hashlib.sha256()
    with target.open("wb") as out:
        for offset in range(0, file.size, PIECE):
            content = link.call("piece", what, file.name, offset, PIECE)
            hashed.update(content)
            out.write(content)
    if hashed.hexdigest() != file.sha256:
        raise OSError(f"{file.name} has changed on its way or on the driver's disk")


def _check(dataset: Path) -> None:
    """Compare the rows with what the dataset version's manifest says of them, where it does."""
    said = json.loads((dataset / MANIFEST).read_text(encoding="utf-8")).get("files", {})
    for path in dataset.glob("*.parquet"):
        with path.open("rb") as file:
            if path.name in said and hashlib.file_digest(file, "sha256").hexdigest() != said[path.name]:
                raise DataError(
                    f"{path.name} is not what its dataset version was made with",
                    where="data",
                    fix="remove the dataset version on the driver's machine and give the command again",
                )


def _own_base(job: TrainJob, cache: Path) -> Path:
    """A base that is too large to travel: at the driver's path, or found again by its source, of the same content."""
    revision, folder = str(job.identity.get("model")), Path(job.model_folder)
    if folder.is_dir() and _revision_of(folder, revision, cache) == revision:
        return folder
    section = job.load_recipe().model
    if revision.startswith("commit:"):
        section = section.model_copy(update={"revision": revision.removeprefix("commit:")})
    try:
        found = resolve_model(section, cache / "nowhere", cache)
        problem = f"finds {found.revision} there, the driver has {revision}"
    except ModelError as error:
        problem = f"cannot get it: {error.what}"
    else:
        if found.revision == revision:
            return found.folder
    raise ModelError(
        f"the base model is larger than {LARGEST_BASE >> 30} GiB, which is not sent from the driver, and "
        f"{socket.gethostname()} {problem}",
        where="model.source",
        fix="give model.source the URL of a folder in an object store or a hub id, or put the model at "
        f"{job.model_folder} on every node",
    )


def _revision_of(folder: Path, wanted: str, cache: Path) -> str:
    """The revision of a model's folder; a hash over all of it is taken once."""
    if wanted.startswith("commit:"):
        return f"commit:{folder.name}"
    files = sorted((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in folder.iterdir())
    note = cache / f"revision-{hashlib.sha256(repr((str(folder), files)).encode()).hexdigest()[:16]}"
    if not note.is_file():
        write_whole(note, content_revision(folder).encode())
    return note.read_text(encoding="ascii")
