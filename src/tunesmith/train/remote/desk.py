"""The driver's side: it keeps the run's folder for workers that do not see it. On a node of Ray it is an actor."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith.data.dataset import MANIFEST
from tunesmith.models.files import model_files
from tunesmith.store.durable import TEMPORARY, publish, temporary_sibling, write_whole
from tunesmith.train.attempts import Attempts
from tunesmith.train.heartbeat import WORKERS
from tunesmith.train.job import ADAPTER, MODEL, RESIZE
from tunesmith.train.places.place import sha256
from tunesmith.train.remote.terms import ATTEMPTS, PULLED, Described, check_pushed, content_of, digest, plain, pushed
from tunesmith.train.sinks import METRICS

DATASET, EXAMPLES, BASE = "dataset", "examples", "base"
LARGEST_BASE = 2 << 30
"""Bytes of a base model that travels from the driver to each node; a larger one the nodes get themselves."""

ROWS = {
    DATASET: re.compile(r"(train|validation)-\d+\.parquet"),
    EXAMPLES: re.compile(r"(train|validation|test)-examples\.parquet"),
}
"""Of a dataset version what training reads, and what evaluation does."""


class Desk:
    """Every call may be made twice, as Ray does when the desk's process was lost: the second changes nothing. Calls
    may come while another is at work, as one that reads a whole model.

    `run` is the run's folder, `dataset` that of its rows, `base` the base model's.
    """

    def __init__(self, run: str, dataset: str, base: str) -> None:
        self.run = Path(run)
        self.folders = {DATASET: Path(dataset), EXAMPLES: Path(dataset), BASE: Path(base)}
        self._listings: dict[str, list[Described] | None] = {}
        self._turn = threading.Lock()

    def greet(self, rank: int) -> dict[str, Any]:
        """A worker begins; the first removes what a killed one left unfinished. Answers as `exchange` does."""
        with self._turn:
            if rank == 0:
                for path in self.run.glob(f"{TEMPORARY}*"):
                    shutil.rmtree(path, ignore_errors=True)
                self._end_line()
            return self._answer({})

    def exchange(
        self,
        rank: int,
        token: str,
        known: Mapping[str, str | None],
        files: Mapping[str, bytes | None],
        lines: tuple[int, bytes] | None,
    ) -> dict[str, Any]:
        """Take what a worker has written; say what is new for it.

        `token` is that of the attempt it belongs to, `known` the digests of what it has of the driver's files, `files`
        what it has changed (None: removed), `lines` whole lines of metrics and the place in the file where they begin.
        The answer's `files` are those it does not have as they are now, `size` is that of the metrics, and `lost`
        says that the run belongs to a later attempt and nothing was taken. Raises ValueError for a name that is not
        its own to write.
        """
        check_pushed(rank, files)
        with self._turn:
            if rank == 0 and not (self._owns(token, files.get(ATTEMPTS)) and (lines is None or self._append(*lines))):
                return {**self._answer(known), "lost": True}
            for name in pushed(rank):
                if name in files:
                    self._put(rank, name, files[name], known.get(name))
            return self._answer({**known, **{name: digest(content) for name, content in files.items()}})

    def listing(self, what: str) -> list[Described] | None:
        """The files of the dataset, its examples, the base or the artefact; None for a base too large to travel."""
        if what not in self._listings:
            folder = self._folder(what)
            names = [path.name for path in folder.iterdir() if path.is_file()]
            rows = ROWS.get(what)
            chosen = [n for n in names if n == MANIFEST or rows.fullmatch(n)] if rows else model_files(names)
            paths = [folder / plain(name) for name in sorted(chosen)]
            sizes = [path.stat().st_size for path in paths]
            too_large = what == BASE and sum(sizes) > LARGEST_BASE
            described = (
                [] if too_large else [Described(p.name, s, sha256(p)) for p, s in zip(paths, sizes, strict=True)]
            )
            self._listings[what] = None if too_large else described
        return self._listings[what]

    def piece(self, what: str, name: str, offset: int, size: int) -> bytes:
        """Bytes of a file that `listing` names."""
        with (self._folder(what) / plain(name)).open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def receive(self, upload: str, name: str, offset: int, content: bytes) -> None:
        """Keep a piece of a file of the finished artefact, beside its place."""
        folder = self._upload(upload)
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder / plain(name), os.O_CREAT | os.O_WRONLY, 0o644)
        with open(descriptor, "wb") as file:  # noqa: PTH123
            file.seek(offset)
            file.write(content)

    def accept(self, upload: str, artefact: str, token: str, files: Mapping[str, str]) -> None:
        """Give the artefact its place when all its files are what was sent. Raises ValueError when they are not."""
        folder, target = self._upload(upload), self.run / artefact
        if artefact not in (ADAPTER, MODEL):
            raise ValueError(f"{artefact[:80]!r} is no artefact of a run")
        if not self._owns(token, None):
            raise ValueError("the run belongs to a later attempt")
        if not folder.is_dir():
            folder = target  # this call was made before, and its answer lost
        found = {path.name: sha256(path) for path in folder.iterdir()}
        if found != {plain(name): value for name, value in files.items()}:
            raise ValueError(f"the {artefact} is not what was sent")
        if folder is not target:
            if target.is_dir():
                before = temporary_sibling(target)
                target.rename(before)
                shutil.rmtree(before, ignore_errors=True)
            publish(folder, target)

    def _folder(self, what: str) -> Path:
        return self.run / what if what in (ADAPTER, MODEL) else self.folders[what]

    def _upload(self, upload: str) -> Path:
        return self.run / f"{TEMPORARY}upload-{plain(upload)}"

    def _owns(self, token: str, new: bytes | None) -> bool:
        owner = Attempts.read(self.run).token
        return owner == token or (new is not None and owner == Attempts.of(new).token)

    def _put(self, rank: int, name: str, content: bytes | None, known: str | None) -> None:
        path = self.run / name
        if name == ATTEMPTS and rank != 0 and digest(content_of(path)) != known:
            return  # somebody else has changed it: that counts, and is in the answer
        if content is None:
            path.unlink(missing_ok=True)
        elif name == RESIZE:
            raise ValueError("workers take the wish for more of them back, and make none")
        elif name.startswith(WORKERS):  # written every second, and of no use after a power cut
            path.parent.mkdir(exist_ok=True)
            unfinished = temporary_sibling(path)
            unfinished.write_bytes(content)
            unfinished.replace(path)
        else:
            write_whole(path, content)

    def _append(self, offset: int, lines: bytes) -> bool:
        """Add lines of metrics; returns False when the file is not as the one who sends them believes."""
        with (self.run / METRICS).open("a+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(min(offset, size))
            there = file.read(len(lines))
            if offset > size or not lines.startswith(there):
                return False
            file.write(lines[len(there) :])
            return True

    def _end_line(self) -> None:
        """A worker that died in the middle of a line left it without an end."""
        path = self.run / METRICS
        if (content_of(path) or b"\n")[-1:] != b"\n":
            with path.open("ab") as file:
                file.write(b"\n")

    def _answer(self, has: Mapping[str, str | None]) -> dict[str, Any]:
        contents = {name: content_of(self.run / name) for name in PULLED}
        path = self.run / METRICS
        return {
            "files": {name: content for name, content in contents.items() if digest(content) != has.get(name)},
            "size": path.stat().st_size if path.is_file() else 0,
            "lost": False,
        }
