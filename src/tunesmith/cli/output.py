"""Write what a command makes into the file the user named."""

from __future__ import annotations

from pathlib import Path

from tunesmith.errors import TunesmithError


def check_output(path: Path, *, force: bool = True) -> None:
    """Refuse a path that cannot be written to; without `force`, also one that something is at already."""
    if path.is_dir():
        raise TunesmithError("this is a folder", where=str(path), fix="name a file")
    if not force and (path.exists() or path.is_symlink()):
        raise TunesmithError("this file exists already", where=str(path), fix="choose another name, or say --force")
    if not path.parent.is_dir():
        raise TunesmithError("there is no such folder", where=str(path.parent), fix="make the folder first")


def write_output(path: Path, text: str, *, force: bool = True) -> None:
    """Write a text file whole or not at all; without `force`, refuse to replace one."""
    from tunesmith.store.durable import write_whole

    check_output(path, force=force)
    try:
        write_whole(path, text.encode("utf-8"))
    except OSError as error:
        fix = "check the permissions of the folder and the space on the disk"
        raise TunesmithError(f"the file cannot be written: {error.strerror}", where=str(path), fix=fix) from error
