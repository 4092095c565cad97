"""A finished job's version, brought into the registry at hand."""

from __future__ import annotations

from pathlib import Path

from tunesmith.cluster.job import Result, read_result
from tunesmith.cluster.ray_place import JOB
from tunesmith.cluster.storage import ARTEFACTS, JOBS, Storage
from tunesmith.cluster.targets import TargetError
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion, Version
from tunesmith.store.files import FileStore
from tunesmith.store.home import Home

PAGES = ("report.html", "report.json")


def fetch(id: str, storage: Storage, home: Home) -> tuple[Version, Path]:
    """Download a job's files and report, compared with their hashes, and register the version.

    The same job again is the same version. Gives the folder with the report, too. Raises TargetError for a job that has
    no version, StoreError for damaged files.
    """
    if not JOB.fullmatch(id):
        raise TargetError(f"{id!a} is no job", fix="`tunesmith jobs ls` lists them")
    result = read_result(storage, id)
    if result is None:
        raise TargetError(
            f"there is no result of {id}",
            where=storage.shown,
            fix="`tunesmith jobs ls` says how far it is; a lost one goes on by the same `tunesmith submit`",
        )
    if result.version is None and result.outcome is not None:
        raise TargetError(
            "this is the job of a retrain: what it trains is registered by itself",
            where=id,
            fix="`tunesmith retrain ls` and `tunesmith registry ls` say what came of it",
        )
    if result.version is None:
        raise TargetError(f"the job could not finish: {result.problem or result.exit_code}", where=id)
    # Whoever may write into the storage could name another model: a job's version has the job's name.
    if result.id != id or result.version.get("name") != id.rpartition("-")[0]:
        raise TargetError("the result is another job's", where=f"{storage.shown}/{JOBS}/{id}")
    folder = home.folder / "jobs" / id
    for name in PAGES:
        if (content := storage.read(f"{JOBS}/{id}/{name}")) is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            except OSError as error:
                raise TargetError(f"the report cannot be written ({error.strerror})", where=str(folder)) from None
    held = FileStore.open(storage.under(ARTEFACTS))
    files = held.fetch(str(result.version.get("content_hash")), home.folder / "cache" / "jobs")
    registry = Registry.open(home)
    try:
        return registry.register(_new(result, folder), files), folder
    finally:
        registry.close()


def _new(result: Result, folder: Path) -> NewVersion:
    assert result.version is not None
    known = {key: value for key, value in result.version.items() if key in NewVersion.__dataclass_fields__}
    reasons = known.get("reasons")
    known |= {"reasons": tuple(reasons) if isinstance(reasons, list) else (), "report_uri": str(folder / "report.json")}
    try:
        return NewVersion(**known)
    except TypeError:
        raise TargetError("the result names no version", where=result.id) from None
