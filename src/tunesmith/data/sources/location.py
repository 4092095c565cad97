"""Files by path, glob or URL: finding them, naming them, opening them."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from tunesmith.errors import DataError
from tunesmith.store.file_system import file_system

URL = re.compile(r"^([a-z][a-z0-9+.-]*)(?:::|://)", re.IGNORECASE)
CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")
GLOB_CHARACTERS = re.compile(r"[*?\[]")
BUFFER_BYTES = 1 << 20


@dataclass(frozen=True)
class File:
    """One file: `name` as the user named it, `path` as its filesystem does; `filesystem` is None on the local disk."""

    name: str
    path: str
    filesystem: Any = None

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open the bytes as they are stored. Raises `DataError` when they cannot be read, now or half-way through."""
        try:
            if self.filesystem is None:
                stream: Any = Path(self.path).open("rb", buffering=BUFFER_BYTES)  # noqa: SIM115 - closed below
            else:
                stream = self.filesystem.open(self.path, "rb")
            with stream:
                yield stream
        except OSError as error:
            raise _unreadable(self.name, error) from error


def find_files(path: str, folder: Path) -> list[File]:
    """Find the files that a path, a glob or a URL names, in the order of their names.

    Raises `DataError` when there is none, naming the nearest ones, or when a name is that of a folder.
    """
    return _find_remote(path) if URL.match(path) else _find_local(path, folder)


def shown(path: str) -> str:
    """Return a path or URL without the user name and password that a URL may carry."""
    return CREDENTIALS.sub("", path)


def _find_local(path: str, folder: Path) -> list[File]:
    typed = Path(path).expanduser()
    whole = folder / typed
    if "\0" in path:
        raise DataError(
            "the path holds a NUL character", where=path.replace("\0", "\\0"), fix="take it out of the recipe"
        )
    if whole.is_file():
        return [File(path, str(whole))]
    if whole.is_dir():
        raise _is_a_folder(
            path, saved_dataset=(whole / "state.json").is_file() or (whole / "dataset_dict.json").is_file()
        )
    if GLOB_CHARACTERS.search(path):
        matches = sorted(glob.glob(str(typed), root_dir=folder, recursive=True))  # noqa: PTH207 - keeps names as typed
        if found := [File(match, str(folder / match)) for match in matches if (folder / match).is_file()]:
            return found
    nearby = whole.parent
    while not nearby.is_dir() and nearby != nearby.parent:
        nearby = nearby.parent
    raise _not_found(path, whole.name, [entry.name for entry in nearby.iterdir()], str(nearby))


def _find_remote(url: str) -> list[File]:
    filesystem, path = _open_filesystem(url)
    scheme = URL.match(url)[1].lower()  # type: ignore[index]
    prefix = f"{scheme}://" if "::" not in url else ""
    try:
        # A `?` in a web address starts a query; everywhere else it stands for one character.
        if not scheme.startswith("http") and GLOB_CHARACTERS.search(path):
            if found := sorted(filesystem.glob(path)):
                return [File(f"{prefix}{match}", match, filesystem) for match in found]
        # Not `isfile`: it answers False when the server cannot be reached.
        elif kind := _kind(filesystem, path):
            if kind == "directory":
                raise _is_a_folder(shown(url), saved_dataset=False)
            return [File(shown(url), path, filesystem)]
        parent = str(PurePosixPath(path).parent)
        names = [] if scheme.startswith("http") else _names_in(filesystem, parent)
    except (OSError, ValueError, NotImplementedError) as error:
        raise _unreadable(shown(url), error) from error
    raise _not_found(shown(url), PurePosixPath(path).name, names, f"{prefix}{parent}")


def _open_filesystem(url: str) -> tuple[Any, str]:
    try:
        return file_system(url)
    except ImportError as error:
        scheme = url.partition("://")[0]
        raise DataError(
            f"{scheme}:// needs a package that is not installed ({error})", where=shown(url), fix="install that package"
        ) from error
    except (OSError, ValueError) as error:
        raise _unreadable(shown(url), error) from error


def _kind(filesystem: Any, path: str) -> str | None:
    try:
        return str(filesystem.info(path)["type"])
    except FileNotFoundError:
        return None


def _names_in(filesystem: Any, folder: str) -> list[str]:
    try:
        return [PurePosixPath(entry).name for entry in filesystem.ls(folder, detail=False)]
    except OSError:
        return []


def _not_found(path: str, name: str, nearby: list[str], folder: str) -> DataError:
    what = "no file matches" if GLOB_CHARACTERS.search(name) else "no such file"
    near = get_close_matches(name, sorted(nearby), n=3, cutoff=0.5)
    if near:
        return DataError(what, where=path, fix=f"did you mean {' or '.join(near)}?")
    names = sorted(entry for entry in nearby if not entry.startswith("."))
    listing = f"{', '.join(names[:5])}{' ...' if len(names) > 5 else ''}" if names else "nothing"
    return DataError(what, where=path, fix=f"correct the path; {shown(folder)} holds {listing}")


def _is_a_folder(path: str, *, saved_dataset: bool) -> DataError:
    if saved_dataset:
        fix = f"it holds a saved dataset: write {{type: dataset, path: {path}}}"
    else:
        fix = f"name the files in it, such as {path.rstrip('/')}/*.jsonl"
    return DataError("this is a folder, not a file", where=path, fix=fix)


def _unreadable(name: str, error: Exception) -> DataError:
    reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip()
    remote = URL.match(name)
    fix = (
        "check the address, the network, and the credentials in the environment"
        if remote
        else "check the disk and the file's permissions"
    )
    return DataError(f"cannot be read: {shown(reason)}", where=name, fix=fix)
