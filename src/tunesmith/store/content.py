"""What an artefact is: files under safe relative names, their hashes, and one hash over all of them."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from tunesmith.errors import StoreError

CHUNK_BYTES = 8 << 20
MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 1000
FORMAT = 1


@dataclass(frozen=True)
class StoredFile:
    """One file: its POSIX path inside the artefact, size in bytes, SHA-256 in hexadecimal."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The files of one artefact, sorted by name. Written last: where it lies, everything else does too."""

    files: tuple[StoredFile, ...]

    @property
    def content_hash(self) -> str:
        """SHA-256 over the lines `SHA256  NAME`, sorted by name: what `sha256sum` prints for the same files."""
        in_order = sorted(self.files, key=lambda file: file.name)
        return hashlib.sha256("".join(f"{file.sha256}  {file.name}\n" for file in in_order).encode()).hexdigest()

    @property
    def num_bytes(self) -> int:
        """Size of all files together."""
        return sum(file.size for file in self.files)

    def to_bytes(self) -> bytes:
        """The manifest as JSON; the same files give the same bytes."""
        body = {"format": FORMAT, "content_hash": self.content_hash, "files": [asdict(file) for file in self.files]}
        return (json.dumps(body, indent=2, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_bytes(cls, content: bytes, content_hash: str, where: str) -> Manifest:
        """Read a manifest back and check that it is the one of `content_hash`.

        Raises StoreError when it is damaged, or when a name in it would lead out of the artefact.
        """
        try:
            body: Any = json.loads(content)
            files = tuple(
                StoredFile(check_name(str(file["name"]), where), int(file["size"]), str(file["sha256"]))
                for file in body["files"]
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            raise _damaged("the manifest cannot be read", where) from None
        manifest = cls(files)
        if len({file.name for file in files}) != len(files) or manifest.content_hash != content_hash:
            raise _damaged("the manifest does not belong to its content hash", where)
        return manifest


def scan(folder: Path) -> dict[str, Path]:
    """Name -> file of everything in `folder`; links to files inside it count as those files, empty folders not at all.

    Raises StoreError for links that lead outside or to folders, for pipes and devices, for names that cannot be stored
    everywhere, and for a folder without files.
    """
    root = folder.resolve()
    if not root.is_dir():
        raise StoreError("there is no such folder", where=str(folder), fix="name the folder that holds the files")
    found = {check_name(path.relative_to(root).as_posix(), str(folder)): path for path in sorted(_walk(root))}
    if not found:
        raise StoreError("the folder holds no files", where=str(folder), fix="an artefact needs at least one file")
    return found


def describe(files: dict[str, Path]) -> Manifest:
    """Hash the files. Sizes in bytes."""
    described = []
    for name in sorted(files):
        with files[name].open("rb") as source:
            size, sha256 = digest(chunks(source))
        described.append(StoredFile(name, size, sha256))
    return Manifest(tuple(described))


def digest(pieces: Iterable[bytes], into: BinaryIO | None = None) -> tuple[int, str]:
    """Size and SHA-256 of a stream, copied to `into` on the way where one is given."""
    sha256, size = hashlib.sha256(), 0
    for piece in pieces:
        sha256.update(piece)
        size += len(piece)
        if into is not None:
            into.write(piece)
    return size, sha256.hexdigest()


def chunks(source: BinaryIO) -> Iterator[bytes]:
    """The stream in pieces of 8 MiB: a file of many gigabytes is never held in memory."""
    while piece := source.read(CHUNK_BYTES):
        yield piece


def check_name(name: str, where: str) -> str:
    """Return `name` if it is a relative POSIX path that stays inside its folder on every system.

    Raises StoreError for absolute paths, `..`, backslashes, colons, control characters, too long, or not UTF-8.
    """
    parts = PurePosixPath(name).parts
    try:
        lengths = [len(part.encode()) for part in name.split("/")]
    except UnicodeEncodeError:
        raise StoreError("a file name is not valid UTF-8", where=where, fix=f"rename {name[:80]!r}") from None
    if max(lengths) > MAX_NAME_BYTES or sum(lengths) > MAX_PATH_BYTES:
        raise StoreError(
            "a file name is too long",
            where=where,
            fix=f"{name[:40]!r}… has {sum(lengths)} bytes; at most {MAX_NAME_BYTES} a part, {MAX_PATH_BYTES} in all",
        )
    safe = "/".join(parts) == name and not name.startswith("/") and ".." not in parts and name not in ("", ".")
    # A colon names a drive or a hidden stream on Windows.
    if not safe or any(letter in "\\:" or ord(letter) < 32 or ord(letter) == 127 for letter in name):
        raise StoreError(
            f"the file name {name!r} is not allowed",
            where=where,
            fix="use relative names without '..', backslashes, colons and control characters",
        )
    return name


def _walk(root: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(root, onerror=_unreadable):
        for name in folders:
            path = Path(parent, name)
            if path.is_symlink():
                raise StoreError(
                    "a link to a folder is not stored", where=str(path), fix="put a copy there: cp -rL FROM TO"
                )
        for name in names:
            path = Path(parent, name)
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise StoreError(
                    "a link leads out of the folder", where=str(path), fix="put a copy of the file there: cp -L FROM TO"
                )
            try:
                mode = path.stat().st_mode
            except OSError as error:
                raise StoreError(
                    f"cannot be read: {error.strerror}", where=str(path), fix="mend or remove it"
                ) from error
            if not stat.S_ISREG(mode):
                raise StoreError("only plain files can be stored", where=str(path), fix="remove it from the folder")
            yield path


def _unreadable(error: OSError) -> None:
    raise StoreError(f"cannot be read: {error.strerror}", where=str(error.filename), fix="check its permissions")


def _damaged(what: str, where: str) -> StoreError:
    return StoreError(what, where=where, fix="it was changed or damaged after it was stored: store the files again")
