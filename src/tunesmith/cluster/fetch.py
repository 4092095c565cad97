"""A finished job's version, brought into the registry at hand."""

from __future__ import annotations

import re
from pathlib import Path

from tunesmith.cluster.job import Result, read_result
from tunesmith.cluster.storage import JOBS, Storage
from tunesmith.cluster.targets import TargetError
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion, Version
from tunesmith.store.files import FileStore
from tunesmith.store.home import Home

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Jobs are folders, here and in the storage."""

PAGES = ("report.html", "report.json")


def fetch(id: str, storage: Storage, home: Home) -> tuple[Version, Path]:
    """Download a job's files and report, compared with their hashes, and register the version.

    The same job again is the same version. Gives the folder with the report, too. Raises TargetError for a job that has
    no version, StoreError for damaged files.
    """
    if not ID.fullmatch(id):
        raise TargetError(f"{id!a} is no job", fix="`tunesmith jobs ls` lists them")
    result = read_result(storage, id)
    if result is None:
        raise TargetError(
            f"there is no result of {id}",
            where=storage.shown,
            fix="`tunesmith jobs ls` says how far it is; a lost one goes on by the same `tunesmith submit`",
        )
    if result.version is None or result.artefacts is None:
        raise TargetError(f"the job could not finish: {result.problem or result.exit_code}", where=id)
    folder = home.folder / "jobs" / id
    folder.mkdir(parents=True, exist_ok=True)
    for name in PAGES:
        if (content := storage.read(f"{JOBS}/{id}/{name}")) is not None:
            (folder / name).write_bytes(content)
    files = FileStore.open(result.artefacts).fetch(result.version["content_hash"], home.folder / "cache" / "jobs")
    registry = Registry.open(home)
    try:
        return registry.register(_new(result, folder), files), folder
    finally:
        registry.close()


def _new(result: Result, folder: Path) -> NewVersion:
    assert result.version is not None
    known = {key: value for key, value in result.version.items() if key in NewVersion.__dataclass_fields__}
    known |= {"reasons": tuple(known.get("reasons") or ()), "report_uri": str(folder / "report.json")}
    return NewVersion(**known)
