"""Artefacts in a local folder: `ROOT/CONTENT_HASH/files/NAME`, and `ROOT/CONTENT_HASH/manifest.json` beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from tunesmith.errors import StoreError
from tunesmith.store.content import Manifest, StoredFile, chunks, digest
from tunesmith.store.durable import new_folder, sweep, sync_file, sync_folder, temporary_sibling, write_whole

MANIFEST = "manifest.json"
FILES = "files"

Opener = Callable[[str], BinaryIO]
"""Opens the file of that name, wherever it comes from."""


class LocalFolder:
    """Stores artefacts durably: a folder appears under its content hash only when all of it is on the disk."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def uri(self, content_hash: str) -> str:
        """Where the artefact lies, as a `file://` URI."""
        return (self.root / content_hash).as_uri()

    def hashes(self) -> list[str]:
        """Content hashes of the artefacts that are complete."""
        return sorted(path.parent.name for path in self.root.glob(f"*/{MANIFEST}"))

    def read_manifest(self, content_hash: str) -> bytes | None:
        """The manifest's bytes, or None when the artefact is not here."""
        try:
            return (self.root / content_hash / MANIFEST).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def files(self, content_hash: str) -> Path:
        """The folder that holds the artefact's files."""
        return self.root / content_hash / FILES

    def open(self, content_hash: str, name: str) -> BinaryIO:
        """Open one file of an artefact for reading."""
        path = self.files(content_hash) / name
        if not path.resolve().is_relative_to(self.root.resolve() / content_hash):
            raise StoreError("a link leads out of the artefact", where=str(path), fix="store the files again")
        return path.open("rb")

    def holds(self, content_hash: str, file: StoredFile) -> bool:
        """Whether the file is here and whole."""
        try:
            with self.open(content_hash, file.name) as source:
                return digest(chunks(source)) == (file.size, file.sha256)
        except (OSError, StoreError):
            return False

    def strangers(self, content_hash: str, manifest: Manifest) -> list[str]:
        """Names of files that lie in the artefact and do not belong to it."""
        folder, known = self.files(content_hash), {file.name for file in manifest.files}
        present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
        return sorted(present - known)

    def write(self, manifest: Manifest, source: Opener) -> None:
        """Store an artefact, or mend the one here. Raises StoreError when a file is not as the manifest says."""
        target = self.root / manifest.content_hash
        if target.exists():
            self._mend(manifest, source)
            return
        with new_folder(target) as folder:
            for file in manifest.files:
                _copy(file, source, folder / FILES / file.name)
            write_whole(folder / MANIFEST, manifest.to_bytes())
        sweep(self.root)

    def _mend(self, manifest: Manifest, source: Opener) -> None:
        for file in manifest.files:
            if not self.holds(manifest.content_hash, file):
                target = self.files(manifest.content_hash) / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                # Not beside the file: what a crash leaves there would count as a stranger.
                temporary = temporary_sibling(self.root / manifest.content_hash / target.name)
                try:
                    _copy(file, source, temporary)
                    temporary.replace(target)
                finally:
                    temporary.unlink(missing_ok=True)
                sync_folder(target.parent)
        if self.read_manifest(manifest.content_hash) != manifest.to_bytes():
            write_whole(self.root / manifest.content_hash / MANIFEST, manifest.to_bytes())
        sweep(self.root / manifest.content_hash)


def _copy(file: StoredFile, source: Opener, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with source(file.name) as reader, target.open("wb") as writer:
        copied = digest(chunks(reader), writer)
        writer.flush()
        sync_file(writer.fileno())
    check_copy(file, copied)
    # The store hands out its own files: a program that opens one for writing by mistake is stopped.
    target.chmod(0o444)


def check_copy(file: StoredFile, copied: tuple[int, str]) -> None:
    """Raise StoreError unless what was copied, (size, SHA-256), is the file that was asked for."""
    if copied != (file.size, file.sha256):
        raise StoreError(
            "the file is not what its hash says",
            where=file.name,
            fix="it is damaged, or it changed while it was being copied: try again, or store the files again",
        )
