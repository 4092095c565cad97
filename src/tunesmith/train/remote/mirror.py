"""The worker's side: a run's folder of its own, and a thread that keeps it and the driver's alike."""

from __future__ import annotations

import secrets
import shutil
import socket
import tempfile
import threading
import time
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from tunesmith.errors import TrainError
from tunesmith.store.durable import write_whole
from tunesmith.train.attempts import Attempts
from tunesmith.train.delivery import Delivery
from tunesmith.train.heartbeat import WORKERS
from tunesmith.train.job import TrainJob
from tunesmith.train.places.place import sha256
from tunesmith.train.remote.fetch import node_folder, with_own_files
from tunesmith.train.remote.terms import ATTEMPTS, PIECE, PULLED, Link, LinkLost, content_of, digest, plain, pushed
from tunesmith.train.sinks import METRICS

EVERY = 0.5
PREFIX = "run-"
YOUNG_SECONDS = 60.0
"""A folder as young as this may be one that its worker has not locked yet."""


class Mirror(Delivery):
    """Of a worker that does not see the driver's files.

    Its folder is new, so that nothing of an earlier attempt is taken for its own; when it ends it brings what is left
    to the driver and removes the folder. Folders of workers that were killed are removed by the next one.
    """

    own_files = True

    def __init__(self, job: TrainJob, rank: int, link: Link, every: float = EVERY) -> None:
        self.theirs, self.rank, self.link, self.every = job, rank, link, every
        self._told: dict[str, bytes | None] = {}
        self._sent, self._begin = 0, 0
        self._lost = False
        self._turn, self._done = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._repeat, daemon=True)

    def __enter__(self) -> Mirror:
        from filelock import FileLock

        self._own = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_swept_parent()))
        self._lock = FileLock(self._own / ".lock")
        self._lock.acquire()
        # The run's name names its checkpoints too.
        self.job = replace(self.theirs, run_folder=str(self._own / self.theirs.folder.name))
        (self.job.folder / WORKERS).mkdir(parents=True)
        self._heed(self.link.call("greet", self.rank))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        try:
            with suppress(LinkLost, OSError) if error is not None else nullcontext():
                self.sync()
        finally:
            self._lock.release()
            shutil.rmtree(self._own, ignore_errors=True)

    def ready(self) -> TrainJob:
        """Fetch rows and base model. Raises TrainError where checkpoints would be lost with this node."""
        if self.job.load_recipe().resources.checkpoints is None:
            raise TrainError(
                f"{socket.gethostname()} shares no files with the driver: checkpoints kept there are lost with it",
                where="resources.checkpoints",
                fix="name a bucket there, such as s3://bucket/prefix, or put TUNESMITH_HOME on storage that all nodes "
                "see",
            )
        self.job = with_own_files(self.job, self.link)
        return self.job

    def sync(self) -> None:
        """Bring to the driver what has changed here, then here what has changed there. Raises LinkLost."""
        with self._turn:
            if self._lost:
                return
            files = {name: content for name, content in self._here().items() if content != self._told.get(name)}
            lines = self._lines()
            token = Attempts.of(self._told.get(ATTEMPTS)).token
            known = {name: digest(self._told.get(name)) for name in PULLED}
            began = self._begin + self._sent
            answer = self.link.call("exchange", self.rank, token, known, files, (began, lines) if lines else None)
            if answer["lost"]:
                self._give_up()
                return
            self._told.update(files)
            self._sent += len(lines)
            self._heed(answer)

    def hand_over(self) -> None:
        """Send the artefact in pieces; the driver has it whole, or as it was."""
        self.sync()
        upload, files = secrets.token_hex(8), {}
        for path in sorted(self.job.artefact.iterdir()):
            with path.open("rb") as file:
                for offset in range(0, max(1, path.stat().st_size), PIECE):
                    self.link.call("receive", upload, plain(path.name), offset, file.read(PIECE))
            files[path.name] = sha256(path)
        token = Attempts.of(self._told.get(ATTEMPTS)).token
        self.link.call("accept", upload, self.job.artefact.name, token, files)

    def shown(self, place: str | None) -> str | None:
        """The driver's folder in place of the worker's own, which is gone when the user reads of it."""
        return place and place.replace(self.job.run_folder, self.theirs.run_folder)

    def _repeat(self) -> None:
        while not self._done.wait(self.every):
            with suppress(LinkLost, OSError):  # tried again; what must be in step asks for itself and hears of it
                self.sync()

    def _here(self) -> dict[str, bytes | None]:
        return {name: content_of(self.job.folder / name) for name in pushed(self.rank)}

    def _lines(self) -> bytes:
        """The whole lines of metrics that the driver does not have."""
        path = self.job.folder / METRICS
        if self.rank or not path.is_file():
            return b""
        with path.open("rb") as file:
            file.seek(self._sent)
            content = file.read()
        return content[: content.rfind(b"\n") + 1]

    def _heed(self, answer: dict[str, Any]) -> None:
        if not self._sent:
            self._begin = answer["size"]
        for name, content in answer["files"].items():
            if name not in PULLED:
                raise ValueError(f"{str(name)[:80]!r} is no file of the driver for its workers")
            path = self.job.folder / name
            if content_of(path) == self._told.get(name):  # else it was changed meanwhile, and that is told next
                path.unlink(missing_ok=True) if content is None else write_whole(path, content)
            self._told[name] = content

    def _give_up(self) -> None:
        """The run has another owner: without its token this worker finds that out as it would beside the driver."""
        self._lost = True
        (self.job.folder / ATTEMPTS).unlink(missing_ok=True)


def _swept_parent() -> Path:
    """Where this node's workers have their folders, without those of workers that are no more."""
    from filelock import FileLock, Timeout

    try:
        parent = node_folder()
    except TrainError:  # told by `ready`, which has the way to the driver
        return Path(tempfile.gettempdir())
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError, Timeout):
            if time.time() - folder.stat().st_mtime > YOUNG_SECONDS:
                with FileLock(folder / ".lock", timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)
    return parent
