"""Write what a command makes: into the file the user named, or as JSON on standard output alone."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

import click

from tunesmith.errors import TunesmithError

_answers: list[TextIO] = []


def keep_stdout_for_json() -> None:
    """From now on only `answer` writes to standard output; what libraries print there, C++ ones too, goes to stderr.

    Where a program that calls this one has put something else in the place of standard output, that is left alone.
    """
    own = sys.__stdout__
    if own is None or sys.stdout is not own:
        return
    own.flush()
    _answers[:] = [os.fdopen(os.dup(1), "w", encoding="utf-8")]
    os.dup2(2, 1)
    sys.stdout = sys.stderr


def print_json(value: Any, indent: int | None = 2) -> None:
    """What `--json` prints."""
    answer(json.dumps(value, indent=indent))


def answer(text: str) -> None:
    """Write a line, or lines, of JSON that are ready."""
    if not _answers:
        click.echo(text)
        return
    _answers[0].write(text + "\n")
    _answers[0].flush()


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
