"""Local files that are either whole or not there, also after a power cut."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY = ".tmp-"
"""How the names of unfinished files and folders begin."""

STALE_SECONDS = 24 * 3600
"""An unfinished folder untouched for this long belongs to a process that died."""


def temporary_sibling(path: Path) -> Path:
    """A name beside `path`, on the same disk, that no other process uses."""
    return path.with_name(f"{TEMPORARY}{path.name[:80]}-{os.getpid()}-{secrets.token_hex(4)}")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that readers and a crash see the old one or the new one, never a part."""
    temporary = temporary_sibling(path)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            sync_file(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside `target` to fill, which becomes `target` in one step when the block ends well.

    By then what was put into it is on the disk. When another process was first, its folder stays and this one is
    thrown away: meant for folders named by content.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_sibling(target)
    temporary.mkdir()
    try:
        yield temporary
        publish(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def publish(finished: Path, target: Path) -> None:
    """Let a folder beside `target` become `target` in one step, with all that is in it on the disk.

    When there is a `target` already, it stays, and so does the folder.
    """
    _sync_tree(finished)
    try:
        finished.rename(target)
    except OSError:
        if not target.is_dir():
            raise
    sync_folder(target.parent)


def sweep(parent: Path, now: float | None = None) -> int:
    """Remove what killed processes left unfinished in `parent`; returns how many."""
    oldest = (time.time() if now is None else now) - STALE_SECONDS
    num_removed = 0
    for path in parent.glob(f"{TEMPORARY}*"):
        try:
            changed = path.lstat().st_mtime
        except FileNotFoundError:  # its process has finished it in this moment
            continue
        if changed < oldest:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            num_removed += 1
    return num_removed


def sync_file(descriptor: int) -> None:
    """Wait until the file's bytes are on the disk."""
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until the folder's names are on the disk. Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        elif path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                sync_file(file.fileno())
    sync_folder(folder)
