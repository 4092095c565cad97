"""Artefacts under an object-store URL: `PREFIX/CONTENT_HASH/files/NAME`, then `PREFIX/CONTENT_HASH/manifest.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, cast

from tunesmith.errors import StoreError
from tunesmith.store.content import Manifest, StoredFile, chunks, digest
from tunesmith.store.file_system import ARROW_SCHEMES, file_system, without_secrets
from tunesmith.store.local_folder import FILES, MANIFEST, Opener, check_copy

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


class ObjectStore:
    """Stores artefacts as objects. A manifest is uploaded last, so an artefact without one is an upload that died."""

    def __init__(self, location: str) -> None:
        self.location = without_secrets(location)
        self._files, self._prefix = _connect(location, self.location)

    def uri(self, content_hash: str) -> str:
        """Where the artefact lies, without the secrets of the location."""
        return f"{self.location}/{content_hash}"

    def hashes(self) -> list[str]:
        """Content hashes of the artefacts that are complete."""
        self._files.invalidate_cache()
        try:
            names = self._files.ls(self._prefix, detail=False)
        except FileNotFoundError:
            return []
        hashes = sorted(str(name).rstrip("/").rpartition("/")[2] for name in names)
        return [content_hash for content_hash in hashes if self._files.exists(self._path(content_hash, MANIFEST))]

    def read_manifest(self, content_hash: str) -> bytes | None:
        """The manifest's bytes, or None when the artefact is not here."""
        try:
            with self._files.open(self._path(content_hash, MANIFEST), "rb") as source:
                return bytes(source.read())
        except FileNotFoundError:
            return None

    def open(self, content_hash: str, name: str) -> BinaryIO:
        """Open one file of an artefact for reading."""
        return cast(BinaryIO, self._files.open(self._path(content_hash, FILES, name), "rb"))

    def holds(self, content_hash: str, file: StoredFile) -> bool:
        """Whether an object of that size is here: its content is checked when it is read, not by downloading it now."""
        try:
            return bool(self._files.info(self._path(content_hash, FILES, file.name))["size"] == file.size)
        except FileNotFoundError:
            return False

    def strangers(self, content_hash: str, manifest: Manifest) -> list[str]:
        """None: only what the manifest names is ever fetched."""
        return []

    def write(self, manifest: Manifest, source: Opener) -> None:
        """Upload an artefact, or what is missing of it. Raises StoreError when a file is not as the manifest says."""
        content_hash = manifest.content_hash
        complete = self.read_manifest(content_hash) == manifest.to_bytes()
        for file in manifest.files:
            if complete and self.holds(content_hash, file):
                continue
            with source(file.name) as reader, self._files.open(self._path(content_hash, FILES, file.name), "wb") as out:
                copied = digest(chunks(reader), cast(BinaryIO, out))
            check_copy(file, copied)
        if not complete:
            with self._files.open(self._path(content_hash, MANIFEST), "wb") as out:
                out.write(manifest.to_bytes())

    def _path(self, *parts: str) -> str:
        return "/".join((self._prefix, *parts))


def _connect(location: str, shown: str) -> tuple[AbstractFileSystem, str]:
    scheme = location.partition("://")[0]
    if "::" in location:
        raise StoreError("chained URLs are not supported", where=shown, fix="write one URL, such as s3://bucket/prefix")
    try:
        files, prefix = file_system(location, options=True)
        return files, prefix.rstrip("/")
    except ImportError as error:
        needed = 'pip install "tunesmith[train]"' if scheme in ARROW_SCHEMES else f"install it: {error}"
        raise StoreError(f"the driver for {scheme[:20]}:// is not installed", where=shown, fix=needed) from error
    except (ValueError, OSError) as error:
        # The reason may repeat the location with its keys.
        reason = str(error).replace(location, shown).splitlines()[0][:300]
        raise StoreError(
            f"the artefact location cannot be used: {reason}",
            where=shown,
            fix="set TUNESMITH_ARTIFACTS to a folder or to a URL such as s3://bucket/prefix",
        ) from None
