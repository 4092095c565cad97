"""The place that outlives a cluster: small files by name, in a folder that all see or in an object store."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tunesmith.cluster.targets import TargetError
from tunesmith.store.durable import write_whole
from tunesmith.store.file_system import ARROW_SCHEMES, file_system, without_secrets

ARTEFACTS, JOBS, CHECKPOINTS = "artefacts", "jobs", "checkpoints"


class Storage:
    """A target's `storage`. Every write is whole or not there. All of it raises TargetError."""

    def __init__(self, location: str) -> None:
        by_file = location.startswith("file:")
        if not location.removeprefix("file://").strip("/") or (by_file and not location.startswith("file:///")):
            raise TargetError(
                "the storage names no place", where="storage", fix="such as s3://bucket/prefix or /shared/tunesmith"
            )
        scheme, mark, _ = location.partition("://")
        if mark and scheme not in (*ARROW_SCHEMES, "file"):
            raise TargetError(
                f"{scheme[:20]}:// is no kind of storage",
                where="storage",
                fix="s3://, gs:// or a path that all nodes and you see",
            )
        self.location = location.rstrip("/")
        self.shown = without_secrets(self.location)
        if location.startswith("file://"):
            self.location = unquote(urlsplit(location).path).rstrip("/")
        try:
            self._folder = None if "://" in self.location else Path(self.location).expanduser().absolute()
        except RuntimeError as error:
            raise TargetError(f"the storage cannot be found: {error}", where=self.shown) from None

    def check(self) -> None:
        """Write, read and remove a small file."""
        name, content = f"{JOBS}/.probe-{secrets.token_hex(8)}", secrets.token_bytes(16)
        self.write(name, content)
        found = self.read(name)
        self.remove(name)
        if found != content:
            raise TargetError("the storage does not give back what was written", where=self.shown)

    def read(self, name: str) -> bytes | None:
        """A file, or None where there is none."""
        with self._explained():
            try:
                if self._folder is not None:
                    return (self._folder / name).read_bytes()
                files, root = file_system(self.location)
                with files.open(f"{root}/{name}", "rb") as file:
                    return bytes(file.read())
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Put a file there, in the place of another."""
        with self._explained():
            if self._folder is not None:
                path = self._folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, content)
                return
            files, root = file_system(self.location)
            with files.open(f"{root}/{name}", "wb") as file:
                file.write(content)

    def remove(self, name: str) -> None:
        """Take a file away."""
        with self._explained():
            if self._folder is not None:
                (self._folder / name).unlink(missing_ok=True)
                return
            files, root = file_system(self.location)
            files.rm_file(f"{root}/{name}")

    def names(self, folder: str) -> list[str]:
        """What lies in a folder, without its path."""
        with self._explained():
            try:
                if self._folder is not None:
                    return sorted(path.name for path in (self._folder / folder).iterdir())
                files, root = file_system(self.location)
                files.invalidate_cache()
                return sorted(str(one).rstrip("/").rpartition("/")[2] for one in files.ls(f"{root}/{folder}", False))
            except FileNotFoundError:
                return []

    def under(self, *parts: str) -> str:
        """The location of something in it."""
        return "/".join((self.location if self._folder is None else str(self._folder), *parts))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except ImportError as error:
            scheme = self.location.partition("://")[0]
            fix = 'pip install "tunesmith[cluster]"' if scheme in ARROW_SCHEMES else f"install it: {error}"
            raise TargetError(f"the driver for {scheme}:// is not installed", where=self.shown, fix=fix) from None
        except (OSError, ValueError) as error:
            reason = (str(error) or type(error).__name__).replace(self.location, self.shown).splitlines()[0][:300]
            raise TargetError(
                f"the storage cannot be used: {reason}",
                where=self.shown,
                fix="does it exist, is it spelled right, and do the credentials in the environment allow it?",
            ) from None
