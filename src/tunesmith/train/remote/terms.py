"""What a worker and the driver's desk agree on: which files travel, in which order, and how they are named."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tunesmith.plan.ledger.now import COST
from tunesmith.train import attempts
from tunesmith.train.heartbeat import WORKERS
from tunesmith.train.job import ERROR, RESIZE, RESULT, STOP

ATTEMPTS = attempts.NAME
PULLED = (ATTEMPTS, ERROR, STOP, RESIZE, COST)
"""What the driver's folder has for workers."""

PIECE = 4 << 20
"""Bytes of a large file in one call."""


class LinkLost(Exception):
    """The driver's desk does not answer."""


class Link(Protocol):
    """The way to the desk."""

    def call(self, method: str, *arguments: Any) -> Any:
        """The answer of the desk's method. Raises LinkLost when there is none, else what the method has raised."""


@dataclass(frozen=True)
class Described:
    """A file of a folder that is fetched: its plain name, bytes, and SHA-256 in hex."""

    name: str
    size: int
    sha256: str


def pushed(rank: int) -> tuple[str, ...]:
    """The files of a worker that are brought to the driver whole, in this order; of `RESIZE` only its removal."""
    own = (ATTEMPTS, f"{WORKERS}/{rank:05d}.json", f"{WORKERS}/stacks-{rank:05d}.txt", ERROR)
    return (*own, RESIZE, RESULT) if rank == 0 else own


def check_pushed(rank: int, names: Any) -> None:
    """Raises ValueError for a file that is not this worker's to write."""
    known = pushed(rank)
    for name in names:
        if name not in known:
            raise ValueError(f"{str(name)[:80]!r} is not written by worker {rank}")


def plain(name: str) -> str:
    """The name of a file in a folder, which leads nowhere else. Raises ValueError."""
    if not isinstance(name, str) or re.fullmatch(r"[A-Za-z0-9_-][\w.+-]{0,254}", name, re.ASCII) is None:
        raise ValueError(f"{str(name)[:80]!r} is no plain name of a file")
    return name


def content_of(path: Path) -> bytes | None:
    """What a small file holds, None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def digest(content: bytes | None) -> str | None:
    """What a content is known by."""
    return None if content is None else hashlib.sha256(content).hexdigest()
