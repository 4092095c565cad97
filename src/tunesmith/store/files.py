"""Artefact files under their content hash, in a local folder or an object store: put, verify, fetch, list."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tunesmith.errors import StoreError
from tunesmith.store.content import Manifest, chunks, describe, digest, scan
from tunesmith.store.durable import temporary_sibling
from tunesmith.store.file_system import without_secrets
from tunesmith.store.local_folder import LocalFolder
from tunesmith.store.object_store import ObjectStore


class NotStored(StoreError):
    """No artefact of that content hash lies here."""


class FileStore:
    """Artefacts of one place. What is read is checked against the hash it was asked for, always."""

    def __init__(self, place: LocalFolder | ObjectStore, shown: str) -> None:
        self._place = place
        self.shown = shown

    @classmethod
    def open(cls, location: str) -> FileStore:
        """Open a local folder, a `file://` URL or an object-store URL; nothing is created before something is put.

        Raises StoreError when the driver of the URL is missing or the URL makes no sense.
        """
        if "\0" in location:
            raise StoreError("the artefact location holds a NUL byte", where="TUNESMITH_ARTIFACTS", fix="remove it")
        if location.startswith("file://"):
            location = unquote(urlsplit(location).path)
        if "://" not in location:
            folder = Path(location).expanduser().absolute()
            return cls(LocalFolder(folder), str(folder))
        return cls(ObjectStore(location), without_secrets(location))

    def uri(self, content_hash: str) -> str:
        """Where the artefact lies or would lie, without secrets."""
        return self._place.uri(_checked(content_hash))

    def list(self) -> list[str]:
        """Content hashes of the artefacts that lie here whole."""
        with self._explain():
            return [found for found in self._place.hashes() if _is_hash(found)]

    def put(self, folder: Path) -> Manifest:
        """Store the files of a folder under their content hash; the same files again store nothing.

        A crash leaves nothing that counts as stored. Damaged copies are mended. Raises StoreError for files that cannot
        be stored or that change meanwhile.
        """
        with self._explain():
            files = scan(folder)
            manifest = describe(files)
            self._place.write(manifest, lambda name: files[name].open("rb"))
            return manifest

    def manifest(self, content_hash: str) -> Manifest:
        """The names, sizes and hashes of an artefact's files. Raises NotStored when it is not here."""
        where = f"{self.shown}/{_checked(content_hash)}"
        with self._explain():
            content = self._place.read_manifest(content_hash)
        if content is None:
            raise NotStored("the artefact is not here", where=where, fix="register it again from the run's folder")
        return Manifest.from_bytes(content, content_hash, where)

    def verify(self, content_hash: str) -> Manifest:
        """Read every file again and compare its hash. Raises StoreError naming the files that are not as stored."""
        manifest = self.manifest(content_hash)
        wrong = []
        with self._explain():
            for file in manifest.files:
                try:
                    with self._place.open(content_hash, file.name) as source:
                        if digest(chunks(source)) != (file.size, file.sha256):
                            wrong.append(f"'{file.name}' has changed")
                except FileNotFoundError:
                    wrong.append(f"'{file.name}' is missing")
            wrong += [f"'{name}' does not belong to it" for name in self._place.strangers(content_hash, manifest)]
        if wrong:
            more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            raise StoreError(
                f"the artefact is damaged: {', '.join(wrong[:5])}{more}",
                where=self.uri(content_hash),
                fix="remove what does not belong, and register the same files again: that mends the copy",
            )
        return manifest

    def read(self, content_hash: str, name: str) -> bytes | None:
        """One small file of an artefact, compared with its hash; None where the artefact has none of that name.

        Raises NotStored, or StoreError when the file is missing or wrong.
        """
        file = next((one for one in self.manifest(content_hash).files if one.name == name), None)
        if file is None:
            return None
        content = BytesIO()
        with self._explain(), suppress(FileNotFoundError), self._place.open(content_hash, name) as source:
            if digest(chunks(source), content) == (file.size, file.sha256):
                return content.getvalue()
        raise StoreError(
            f"the artefact is damaged: '{name}' has changed or is missing",
            where=self.uri(content_hash),
            fix="register the same files again: that mends the copy",
        )

    def fetch(self, content_hash: str, cache: Path) -> Path:
        """A local folder with the artefact's files, verified. Treat it as read-only.

        A local store hands out its own folder. From an object store the files are fetched into `cache`, which shows
        them only when all are there and right. Raises NotStored, or StoreError naming the file that is wrong.
        """
        if isinstance(self._place, LocalFolder):
            self.verify(content_hash)
            return self._place.files(content_hash)
        local = FileStore(LocalFolder(cache.absolute()), str(cache))
        try:
            local.verify(content_hash)
        except StoreError:
            _put_away(cache / content_hash)
            manifest = self.manifest(content_hash)
            with self._explain():
                LocalFolder(cache.absolute()).write(manifest, lambda name: self._place.open(content_hash, name))
        return LocalFolder(cache.absolute()).files(content_hash)

    @contextmanager
    def _explain(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or (str(error).splitlines() or ["no reason given"])[0]
            place = error.filename if isinstance(error.filename, str) else self.shown
            raise StoreError(
                f"the files cannot be read or written: {reason[:300]}",
                where=place,
                fix="check that the place exists, that you may use it and that it has space",
            ) from error


def _put_away(folder: Path) -> None:
    # Renamed first: another process that is reading it keeps its open files, and nobody sees half a folder.
    if folder.exists():
        aside = temporary_sibling(folder)
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _is_hash(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def _checked(content_hash: str) -> str:
    if not _is_hash(content_hash):
        raise StoreError(
            f"{content_hash[:80]!r} is not a content hash",
            where="content_hash",
            fix="a SHA-256 has 64 hexadecimal digits",
        )
    return content_hash
