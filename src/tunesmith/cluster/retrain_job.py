"""What runs on the cluster's head for a retrain: `tunesmith retrain`, against the registry of whoever sent it.

`python -m tunesmith.cluster.start ID STORAGE retrain --artefacts URL --database-env NAME --knows NAME@N --files HASH
[--watch] [--now WHY] [--set FIELD=VALUE]...` in the folder of the unpacked job. It exits as the command does: 0 done,
or waiting for users; 1 a gate failed; 2 a mistake that the user can mend.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from tunesmith.cluster.job import (
    RESULT,
    Result,
    alone,
    checkpoints_in,
    checkpoints_of,
    home_of,
    leave_keeper,
    repeat,
)
from tunesmith.cluster.pack import RECIPE
from tunesmith.cluster.storage import JOBS, Storage
from tunesmith.cluster.targets import DATABASE, TargetError
from tunesmith.errors import RegistryError, TunesmithError
from tunesmith.report.legible import one_line

if TYPE_CHECKING:
    from tunesmith.monitor.retrain.journal import Journal
    from tunesmith.store.home import Home

WAIT_SECONDS, PAUSE_SECONDS = 120.0, 5.0
"""How long a driver that may have died with another head is waited for, and the pause between two looks."""


def run(id: str, storage: Storage, wanted: argparse.Namespace) -> int:
    """Take the retrain as far as it goes. Raises TunesmithError where that is not possible at all."""
    url = database_url(wanted.database_env)
    with alone(id, storage):
        folder = home_of(id)
        folder.mkdir(parents=True, exist_ok=True)
        # By the environment alone: what stands in a command line or in a job's settings, Ray shows.
        os.environ.update({DATABASE: url, "TUNESMITH_HOME": str(folder), "TUNESMITH_ARTIFACTS": wanted.artefacts})
        from tunesmith.monitor.retrain.journal import Journal
        from tunesmith.store.database import Database
        from tunesmith.store.home import find_home

        home = find_home()
        name, _, _ = wanted.knows.partition("@")
        check_registry(home, wanted.knows, wanted.files, wanted.database_env)
        journal = Journal(Database.open(home.database_url, create=False))
        wait_for_driver(journal, name)
        command = [sys.executable, "-m", "tunesmith", "retrain", RECIPE, "--json", *_options(wanted)]

        def progress() -> object:
            retrains = [(one.number, one.revision) for one in journal.every(name)]
            return retrains, len(journal.steps(name)), checkpoints_of(storage, id, folder)

        return repeat(id, storage, [*command, *checkpoints_in(storage, id)], progress, partial(_keep, storage, id))


def database_url(variable: str) -> str:
    """The database of the registry, as the head's environment names it. Raises TargetError."""
    from tunesmith.store.url import parse_database_url

    url = os.environ.get(variable)
    if not url:
        raise TargetError(
            f"{variable} is not set on the head",
            where="the environment of `ray start` on the head",
            fix=f"set {variable} there to the URL of the registry's PostgreSQL, as this cluster reaches it, and start "
            "the head again; on Kubernetes by the Secret of the pods",
        )
    if parse_database_url(url).drivername == "sqlite":
        raise TargetError(
            f"{variable} on the head names a file, and a retrain goes by the database that everybody reaches",
            where="the environment of `ray start` on the head",
            fix="give it the URL of the registry's PostgreSQL",
        )
    return url


def check_registry(home: Home, knows: str, files: str, variable: str) -> None:
    """Refuse a database that is not that of whoever sent the job: it does not have the version that was live there.

    Raises TargetError, and StoreError for one that cannot be reached.
    """
    from tunesmith.registry.registry import Registry

    registry = Registry.open(home, create=False)
    try:
        found: str | None = registry.resolve(knows).content_hash
    except RegistryError:
        found = None
    finally:
        registry.close()
    if found != files:
        raise TargetError(
            f"the cluster's registry has no {knows} with the files that it has in yours: it is another one",
            where=f"{variable} on the head",
            fix="let both name the same database",
        )


def wait_for_driver(journal: Journal, name: str, sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait for a driver that lives, or whose death is not known yet, as of a head that was lost a moment ago.

    One that goes on living is left to the command to tell of.
    """
    from tunesmith.monitor.retrain.journal import Taken

    for turn in range(int(WAIT_SECONDS / PAUSE_SECONDS)):
        retrain = journal.in_flight(name)
        if retrain is None:
            return
        try:
            journal.release(journal.claim(retrain))
            return
        except Taken as error:
            if turn == 0:
                print(f"waiting: {error.what}", file=sys.stderr)
            sleep(PAUSE_SECONDS)


def _options(wanted: argparse.Namespace) -> list[str]:
    options = ["--watch"] if wanted.watch else []
    options += ["--now", wanted.now] if wanted.now is not None else []
    return options + [part for one in wanted.set for part in ("--set", one)]


def in_words(outcome: dict[str, Any]) -> str:
    """What a retrain printed as JSON, as it says it to people. It lies where others may write: nothing of it is trusted
    to be there."""
    retrain, decision = _part(outcome, "retrain"), _part(outcome, "decision")
    if not retrain:
        return one_line(f"no retrain: {decision.get('reason', '')}", 1000)
    at = f"in flight, at {retrain.get('next')}"
    standing = at if retrain.get("running") else f"{retrain.get('end')}: {retrain.get('because')}"
    return one_line(f"{retrain.get('name')} retrain {retrain.get('number')}: {standing}", 1000)


def _part(outcome: dict[str, Any], name: str) -> dict[str, Any]:
    found = outcome.get(name)
    return found if isinstance(found, dict) else {}


def _keep(storage: Storage, id: str, code: int, outcome: dict[str, Any]) -> None:
    print(in_words(outcome), file=sys.stderr)  # for the log: what was printed was for us
    storage.write(f"{JOBS}/{id}/{RESULT}", Result(id, code, outcome=outcome).to_bytes())


def main(id: str, location: str, arguments: list[str]) -> None:
    """The command. A mistake is told of in a sentence, here and in the job's result."""
    parser = argparse.ArgumentParser(prog="tunesmith.cluster.start ID STORAGE retrain", allow_abbrev=False)
    for name in ("--artefacts", "--database-env", "--knows", "--files"):
        parser.add_argument(name, required=True)
    parser.add_argument("--watch", action="store_true")
    parser.add_argument("--now")
    parser.add_argument("--set", action="append", default=[])
    wanted = parser.parse_args(arguments)
    storage = Storage(location)
    try:
        leave_keeper(id)
        code = run(id, storage, wanted)
    except TunesmithError as error:
        print(f"error: {error}", file=sys.stderr)
        try:
            storage.write(f"{JOBS}/{id}/{RESULT}", Result(id, error.exit_code, problem=str(error)).to_bytes())
        except TunesmithError as more:
            print(f"warning: {more}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    raise SystemExit(code)
