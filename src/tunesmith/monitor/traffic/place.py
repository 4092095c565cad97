"""Where the traffic log lies: `traffic/NAME/date=YYYY-MM-DD/hour=HH/` under the artefacts, on a disk or as objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from tunesmith.errors import StoreError
from tunesmith.store.durable import sweep, write_whole
from tunesmith.store.file_system import file_system, without_secrets
from tunesmith.store.home import Home

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

FOLDER = "traffic"


class Place:
    """The log of one home, or another folder of Parquet files beside it. Every path is relative to it; a file appears
    whole or not at all."""

    def __init__(self, home: Home, folder: str = FOLDER) -> None:
        self._folder = folder
        location = home.artifacts
        if location.startswith("file://"):
            location = unquote(urlsplit(location).path)
        self.shown = without_secrets(location)
        self._local = "://" not in location
        if self._local:
            location = str(Path(location).expanduser().absolute())
        self._location = location
        self._found: tuple[AbstractFileSystem, str] | None = None

    @property
    def is_local(self) -> bool:
        """Whether it lies on this machine's disks, or on one that it mounts."""
        return self._local

    def write(self, path: str, content: bytes) -> None:
        """Write a file. Raises StoreError."""
        with self._explain():
            files, root = self._files
            if self._local:
                target = Path(root) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                write_whole(target, content)
                return
            try:
                # All of it in one go: an object is there when it is closed, and not before.
                with files.open(f"{root}/{path}", "wb") as out:
                    out.write(content)
            except FileNotFoundError as error:  # the bucket, not the object
                raise OSError(str(error)) from None

    @contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        """A file for reading. Raises FileNotFoundError where it has gone, or StoreError."""
        with self._explain():
            files, root = self._files
            with files.open(f"{root}/{path}", "rb") as source:
                yield source

    def folders(self, path: str) -> list[str]:
        """Names of the folders in a folder, in order; none where there is no such folder. Raises StoreError."""
        found = self._listed(path, False)
        return sorted(str(one["name"]).rstrip("/").rpartition("/")[2] for one in found if one["type"] == "directory")

    def files(self, path: str) -> dict[str, int]:
        """Parquet files somewhere in a folder, with their sizes. Raises StoreError."""
        _, root = self._files
        found = {str(one["name"]).removeprefix(root).lstrip("/"): int(one["size"]) for one in self._listed(path, True)}
        # A name that begins with a dot is a file that is being written, or that a killed process has left.
        return {
            name: size
            for name, size in sorted(found.items())
            if name.endswith(".parquet") and not name.rpartition("/")[2].startswith(".")
        }

    def remove(self, path: str) -> None:
        """Delete a file, or a folder with all that is in it; nothing happens where there is none. Raises StoreError."""
        with self._explain():
            files, root = self._files
            try:
                files.rm(f"{root}/{path}", recursive=True)
            except FileNotFoundError:
                return

    def sweep(self, path: str) -> None:
        """Remove what killed processes have left unfinished in a folder on this disk."""
        if self._local:
            sweep(Path(self._files[1]) / path)

    @property
    def _files(self) -> tuple[AbstractFileSystem, str]:
        if self._found is None:
            files, root = file_system(self._location, options=True)
            self._found = files, f"{root.rstrip('/')}/{self._folder}"
        return self._found

    def _listed(self, path: str, deep: bool) -> list[dict[str, Any]]:
        with self._explain():
            files, root = self._files
            files.invalidate_cache()
            try:
                if deep:
                    return list(files.find(f"{root}/{path}", detail=True).values())
                return list(files.ls(f"{root}/{path}", detail=True))
            except (FileNotFoundError, NotADirectoryError):
                return []

    @contextmanager
    def _explain(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except ImportError as error:
            raise StoreError(
                f"the driver of the artefact store is not installed: {error}", where=self.shown, fix="install it"
            ) from None
        except (OSError, ValueError) as error:
            # The reason may repeat the location with its keys.
            reason = (str(error).replace(self._location, self.shown).splitlines() or ["no reason given"])[0][:300]
            raise StoreError(
                f"the files cannot be read or written: {reason}",
                where=f"{self.shown}/{self._folder}",
                fix="check that the place exists, that you may use it and that it has space",
            ) from None
