"""A retrain as a job on a cluster: one for each name, against the sender's registry, traffic log and experiments."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from tunesmith.cluster.job import RESULT
from tunesmith.cluster.pack import Package
from tunesmith.cluster.place import Job, JobStatus, Place
from tunesmith.cluster.room import Share
from tunesmith.cluster.storage import JOBS, Storage
from tunesmith.cluster.submit import Say, environment_of, looked_at, refuse_elsewhere, storage_of
from tunesmith.cluster.targets import DATABASE, Target, TargetError
from tunesmith.recipe.address import Address
from tunesmith.recipe.load import LoadedRecipe
from tunesmith.store.home import Home

FIX_DATABASE = "keep the registry in PostgreSQL and set TUNESMITH_DATABASE_URL, here and on the head: docs/retrain.md"
_KEY = re.compile(r"[?&][^=&]*(key|secret|token|password)[^=&]*=", re.IGNORECASE)
_DATABASE_URL = re.compile(r"\s*postgres[a-z0-9+]*://", re.IGNORECASE)


@dataclass(frozen=True)
class PreparedRetrain:
    """A retrain's job that may be sent, what each worker gets, and the attempt that is running now, if one is."""

    job: Job
    package: Package
    share: Share
    storage: Storage
    registry: str
    running: JobStatus | None
    attempts: int

    @property
    def attempt(self) -> int:
        """The number of the attempt that is followed: the one that runs, or the next."""
        return self.running.attempt if self.running else self.attempts + 1

    @property
    def differs(self) -> bool:
        """Whether what runs was sent with another recipe, other files or another Tunesmith."""
        return self.running is not None and self.running.digest != self.job.digest


def prepare_retrain(
    loaded: LoadedRecipe,
    target: Target,
    place: Place,
    home: Home,
    say: Say,
    watch: bool = False,
    wish: str | None = None,
) -> PreparedRetrain:
    """Check everything that can be checked from here. Nothing is sent.

    `watch` and `wish` are `tunesmith retrain`'s --watch and --now. Raises TargetError for what would fail,
    RegistryError for a name that has no version to do better than.
    """
    storage = storage_of(target)
    artefacts = _artefacts(home)
    environment = _environment(target)
    shown, live, files = _live(loaded.recipe.name, home)
    package, _, share = looked_at(loaded, storage, place, say)
    id = job_of(loaded.recipe.name, storage)
    mine = [one for one in place.jobs() if one.id == id]
    running = next((one for one in reversed(mine) if not one.is_over), None)
    if running is not None and wish is not None:
        raise TargetError(
            "the job runs already, and takes no wish any more", where="--now",
            fix=f"`tunesmith jobs stop {id}` first; or leave --now out, and it is followed",
        )  # fmt: skip
    if not mine:
        refuse_elsewhere(storage, id)
    entrypoint = (
        target.python, "-m", "tunesmith.cluster.start", id, storage.under(), "retrain",
        "--artefacts", artefacts, "--database-env", target.database_env, "--knows", live, "--files", files,
        *(part for one in share.overrides() for part in ("--set", one)),
        *(["--watch"] if watch else []), *([f"--now={wish}"] if wish is not None else []),
    )  # fmt: skip
    name = loaded.recipe.name
    job = Job(id, name, package.content, storage.under(), entrypoint, environment, package.digest)
    attempts = max((one.attempt for one in mine), default=0)
    return PreparedRetrain(job, package, share, storage, shown, running, attempts)


def send(place: Place, ready: PreparedRetrain) -> None:
    """Start the job. What the last one came to goes first: nobody is to take it for this one's."""
    name = f"{JOBS}/{ready.job.id}/{RESULT}"
    if ready.storage.read(name) is not None:
        ready.storage.remove(name)
    place.send(ready.job, ready.attempt)


def job_of(name: str, storage: Storage) -> str:
    """The id of a name's retrains: whatever the recipe says by now, with the same storage they are one job."""
    digest = hashlib.sha256("\0".join((name, "retrain", storage.under())).encode()).hexdigest()
    return f"{name}-retrain-{digest[:12]}"


def _live(name: str, home: Home) -> tuple[str, str, str]:
    """The database without its secrets, the live version and the hash of its files, by which the head knows that its
    database is the same one."""
    from tunesmith.monitor.live import live_version
    from tunesmith.registry.registry import Registry
    from tunesmith.store.url import parse_database_url, shown

    url = parse_database_url(home.database_url)
    if url.drivername == "sqlite":
        raise TargetError(
            "the registry is a file of this machine, and a retrain on a cluster needs one that both reach",
            where=shown(url), fix=FIX_DATABASE,
        )  # fmt: skip
    registry = Registry.open(home, create=False)
    try:
        version = live_version(registry, name)
    finally:
        registry.close()
    return shown(url), version.reference, version.content_hash


def _artefacts(home: Home) -> str:
    """Where versions and the traffic log lie. Raises TargetError where the cluster cannot read there, or the URL holds
    keys: it stands in the job's command line, which Ray shows."""
    if "://" not in home.artifacts or home.artifacts.startswith("file:"):
        raise TargetError(
            "versions and the traffic log lie on this machine, and a retrain on a cluster needs them where both reach",
            where="TUNESMITH_ARTIFACTS",
            fix="keep them in an object store: TUNESMITH_ARTIFACTS=s3://bucket/prefix, for the endpoint too",
        )
    try:
        if not _KEY.search(home.artifacts):
            return TypeAdapter(Address).validate_python(home.artifacts)
    except ValidationError:
        pass
    raise TargetError(
        "the location of the artefacts holds keys, and Ray would show them to everybody who may see its jobs",
        where="TUNESMITH_ARTIFACTS",
        fix="leave them out, and give this machine and the nodes an identity, or keys in the environment",
    )


def _environment(target: Target) -> dict[str, str]:
    """The job's environment. Raises TargetError for one with a database URL in it."""
    found = environment_of(target)
    for name, value in found.items():
        if name in (DATABASE, target.database_env) or _DATABASE_URL.match(value):
            raise TargetError(
                f"{name} would be in the job's environment, which Ray shows to everybody who may see its jobs",
                where="env_from_here" if name in target.env_from_here else "env",
                fix=f"take it out, and set {target.database_env} in the environment of `ray start` on the head",
            )
    return found
