"""What runs on the cluster's head: the recipe, started again where it was lost, and its result put where it lasts.

`python -m tunesmith.cluster.start ID STORAGE [--yes] [--set FIELD=VALUE]...` in the folder of the unpacked job. It
exits as the run does: 0 done, 1 a gate failed, 2 a mistake that the user can mend.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tunesmith.cluster.lease import held, read_lease
from tunesmith.cluster.pack import RECIPE
from tunesmith.cluster.storage import ARTEFACTS, CHECKPOINTS, JOBS, Storage
from tunesmith.cluster.targets import TargetError
from tunesmith.errors import StoreError, TunesmithError

RESULT = "result.json"
HOME = "TUNESMITH_JOBS"
"""Environment variable with the folder on the head that jobs work in; by default one under the user's home."""

TRIES, PAUSE_SECONDS = 3, 5.0
"""How often in a row a run is started that gets no further, and the first pause between."""

PAUSES = (5.0, 20.0, 60.0)
"""Before the storage is asked again."""

T = TypeVar("T")
DONE, GATE_FAILED, MISTAKE = 0, 1, 2


@dataclass(frozen=True)
class Result:
    """How a job ended. `version` is the registered version's fields, with `artefacts` where its files lie; `outcome`
    what `tunesmith run --json` printed; `problem` what it said where it could not go on."""

    id: str
    exit_code: int
    version: dict[str, Any] | None = None
    artefacts: str | None = None
    outcome: dict[str, Any] | None = None
    problem: str | None = None

    def to_bytes(self) -> bytes:
        """As it is kept."""
        return (json.dumps(asdict(self), indent=2) + "\n").encode()


def read_result(storage: Storage, id: str) -> Result | None:
    """A job's result, or None while there is none. Raises TargetError."""
    content = storage.read(f"{JOBS}/{id}/{RESULT}")
    try:
        if content is None:
            return None
        found = Result(**json.loads(content))
        if not isinstance(found.version, dict | None):
            raise TypeError("its version is none")
        return found
    except (ValueError, TypeError, RecursionError) as error:
        raise TargetError(f"{JOBS}/{id}/{RESULT} is damaged ({error})", where=storage.shown) from None


def home_of(id: str) -> Path:
    """The home folder of a job on the head: the same when it is started again."""
    given = os.environ.get(HOME)
    base = Path(given) if given else Path.home() / ".tunesmith" / "jobs"
    try:
        base.mkdir(parents=True, exist_ok=True)
    except OSError:
        base = Path(tempfile.gettempdir()) / "tunesmith-jobs"
    return base / id


def run(id: str, storage: Storage, options: list[str]) -> int:
    """Run the recipe to its end. Raises TunesmithError where that is not possible at all."""
    with alone(id, storage):
        return _run(id, storage, options)


@contextmanager
def alone(id: str, storage: Storage) -> Iterator[None]:
    """Hold a job for the time of the block. Raises TargetError for a storage that does not work, and where another
    cluster is at the job."""
    storage.check()
    me, lease = _me(), read_lease(storage, id)
    if lease is not None and lease.holder != me and lease.is_fresh(time.time()):
        raise TargetError(f"another cluster is at {id}: {lease.holder}", where=storage.shown, fix="stop it there first")
    with held(storage, id, me):
        yield


def _me() -> str:
    """A name for this cluster: its head's."""
    return f"{socket.gethostname()} ({os.environ.get('RAY_ADDRESS', 'no cluster')})"


def _run(id: str, storage: Storage, options: list[str]) -> int:
    home = home_of(id)
    home.mkdir(parents=True, exist_ok=True)
    os.environ["TUNESMITH_HOME"] = str(home)
    os.environ["TUNESMITH_ARTIFACTS"] = storage.under(ARTEFACTS)
    command = [sys.executable, "-m", "tunesmith", "run", RECIPE, "--json", *options, *checkpoints_in(storage, id)]
    return repeat(id, storage, command, partial(checkpoints_of, storage, id, home), partial(_keep, storage, id))


def checkpoints_in(storage: Storage, id: str) -> list[str]:
    """The options by which a job's checkpoints outlive its cluster."""
    location = storage.under(JOBS, id, CHECKPOINTS)
    return ["--set", f"resources.checkpoints={location}"] if "://" in location else []


def repeat(
    id: str, storage: Storage, command: list[str], progress: Callable[[], object],
    keep: Callable[[int, dict[str, Any]], None],
) -> int:  # fmt: skip
    """Run a command until it is done or a gate has failed, again where it was lost; gives the job's exit code.

    `progress` changes with what has been reached. `keep` gets the command's exit code and what it printed as JSON; of
    one that cannot go on, the last words become the job's result.
    """
    tries, before = 0, progress()
    while True:
        code, printed, said = _once(command)
        if code in (DONE, GATE_FAILED) and printed is not None:
            _tried(partial(keep, code, printed))
            return code
        reached = _tried(progress)
        tries = 1 if reached != before else tries + 1
        if code in (-signal.SIGINT, -signal.SIGTERM, 128 + signal.SIGTERM, 128 + signal.SIGINT) or STOPPING:
            return 128 + signal.SIGTERM
        if tries >= TRIES or (code == MISTAKE and reached == before):
            _tried(partial(storage.write, f"{JOBS}/{id}/{RESULT}", Result(id, code, problem=said).to_bytes()))
            return code if code > 0 else 128 - code
        before, pause = reached, PAUSE_SECONDS * 2 ** (tries - 1)
        print(f"the run ended with {code}; it goes on from its last checkpoint in {pause:g} s", file=sys.stderr)
        time.sleep(pause)
        if STOPPING:
            return 128 + signal.SIGTERM


def _tried(call: Callable[[], T]) -> T:
    """A storage that is away for a moment does not end a job."""
    for pause in PAUSES:
        try:
            return call()
        except (TargetError, StoreError) as error:
            print(f"warning: {error}; trying again in {pause:g} s", file=sys.stderr)
            time.sleep(pause)
    return call()


STOPPING: list[bool] = []
"""Not empty once the job was asked to stop."""


def _once(command: list[str]) -> tuple[int, dict[str, Any] | None, str]:
    """One start: its exit code, what it printed as JSON, and its last words."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")

    def stop(*_: Any) -> None:
        STOPPING.append(True)
        process.send_signal(signal.SIGINT)  # asks the run for a checkpoint and an orderly end

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    assert process.stderr is not None and process.stdout is not None
    last: list[str] = []
    with tempfile.TemporaryFile("w+") as output:
        import threading

        reader = threading.Thread(target=lambda: output.writelines(process.stdout or ()), daemon=True)
        reader.start()
        for line in process.stderr:
            print(line, end="", file=sys.stderr, flush=True)
            last = [*last[-4:], line.rstrip()]
        process.wait()
        reader.join()
        output.seek(0)
        text = output.read()
    try:
        printed = json.loads(text) if text.strip() else None
    except ValueError:
        printed = None
    return process.returncode, printed, "\n".join(last)


def checkpoints_of(storage: Storage, id: str, home: Path) -> object:
    """Changes whenever a run has got further: its checkpoints, and what its home holds."""
    kept = storage.names(f"{JOBS}/{id}/{CHECKPOINTS}")
    runs = sorted((home / "runs").glob("*/checkpoints/*")) if (home / "runs").is_dir() else []
    deeper = [storage.names(f"{JOBS}/{id}/{CHECKPOINTS}/{name}") for name in kept]
    return kept, deeper, [path.name for path in runs]


def _keep(storage: Storage, id: str, code: int, outcome: dict[str, Any]) -> None:
    from tunesmith.registry.registry import Registry
    from tunesmith.store.home import find_home

    registry = Registry.open(find_home(), create=False)
    try:
        version = registry.resolve(outcome["version"])
    finally:
        registry.close()
    report = Path(outcome["report"])
    for path in (report, report.with_suffix(".json")):
        if path.is_file():
            storage.write(f"{JOBS}/{id}/{path.name}", path.read_bytes())
    done = Result(id, code, version.to_json(), storage.under(ARTEFACTS), outcome)
    storage.write(f"{JOBS}/{id}/{RESULT}", done.to_bytes())


def leave_keeper(id: str) -> None:
    """From here on the job is sent again also while nobody follows it. Without a keeper it runs all the same."""
    if "RAY_ADDRESS" not in os.environ:
        return
    try:
        from tunesmith.cluster import keeper

        keeper.leave_keeper(id)
    except Exception as error:
        print(f"warning: nobody sends this job again but who follows it ({error})", file=sys.stderr)


def main() -> None:
    """The command. A mistake is told of in a sentence."""
    id, location, *options = sys.argv[1:]
    storage = Storage(location)
    try:
        leave_keeper(id)
        code = run(id, storage, options)
    except TunesmithError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    raise SystemExit(code)


if __name__ == "__main__":
    main()
