"""Checkpoints in an object store: parts uploaded by all workers, and a manifest uploaded last."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunesmith.errors import TrainError
from tunesmith.store.file_system import ARROW_SCHEMES, file_system, without_secrets
from tunesmith.train.places.folder import PREFIX
from tunesmith.train.places.place import FILES, STATE, Place, part_name, sha256

CHUNK = 8 << 20
TRIES = 4
"""Uploads of a file, with pauses of 1, 2 and 4 seconds between them."""


class Objects(Place):
    """`URL/RUN/step-00000010/` holds `rank-00000-ATTEMPT.safetensors`, a `.done` beside each, and `state.json`."""

    def __init__(self, url: str, run: str) -> None:
        self.url = f"{without_secrets(url)}/{run}"
        self._files, prefix = _connect(url)
        self._prefix = f"{prefix.rstrip('/')}/{run}"
        self._caches: set[Path] = set()

    def steps(self) -> list[int]:
        """The steps that have a manifest."""
        found = [step for step in self._begun() if self._files.exists(self._path(step, STATE))]
        return sorted(found)

    def shown(self, step: int) -> str:
        """Its URL, without secrets."""
        return f"{self.url}/{PREFIX}{step:08d}"

    def write_part(self, step: int, attempt: str, rank: int, write: Callable[[Path], None]) -> None:
        """Write to this node's disk, upload, then upload a note with the file's hash."""
        with tempfile.TemporaryDirectory(prefix="tunesmith-checkpoint-") as staging:
            path = Path(staging) / "part.safetensors"
            write(path)
            name = f"{part_name(rank)}-{attempt}"
            digest = sha256(path)
            self._upload(path, self._path(step, f"{name}.safetensors"))
        self._put(self._path(step, f"{name}.done"), digest.encode("ascii"))

    def _announced(self, step: int, attempt: str, rank: int) -> tuple[str, str] | None:
        name = f"{part_name(rank)}-{attempt}"
        try:
            digest = bytes(self._files.cat_file(self._path(step, f"{name}.done"))).decode("ascii", "replace")
        except FileNotFoundError:
            return None
        # Cut off on its way here, it is asked for again.
        return (f"{name}.safetensors", digest) if re.fullmatch("[0-9a-f]{64}", digest) else None

    def publish(self, step: int, attempt: str, files: dict[str, str], values: dict[str, Any]) -> None:
        """Upload the manifest."""
        self._put(self._path(step, STATE), json.dumps({**values, FILES: files}, indent=2).encode())

    def fetch(self, step: int, rank: int, world_size: int) -> tuple[dict[str, Any], list[Path]]:
        """Download the files, once for all workers of a node, into a cache on its disk; all are checked there."""
        from filelock import FileLock

        text = bytes(self._files.cat_file(self._path(step, STATE)))
        values = json.loads(text)
        files = sorted(values.pop(FILES).items())
        cache = Path(tempfile.gettempdir()) / f"tunesmith-{hashlib.sha256(self.url.encode() + text).hexdigest()[:24]}"
        self._caches.add(cache)
        with FileLock(f"{cache}.lock"):
            cache.mkdir(exist_ok=True)
            for name, digest in files:
                path = cache / _plain(name)
                if not path.is_file():
                    self._download(self._path(step, name), path)
                if sha256(path) != digest:
                    path.unlink()
                    raise ValueError(f"{name} is not what was written")
        return values, [cache / name for name, _ in files]

    def release(self) -> None:
        """Remove the cache; files that are open stay readable."""
        for cache in self._caches:
            shutil.rmtree(cache, ignore_errors=True)
        self._caches.clear()

    def remove(self, step: int) -> None:
        """The manifest goes first: what it named is then no checkpoint any more."""
        if self._files.exists(self._path(step, STATE)):
            self._files.rm_file(self._path(step, STATE))
        self._files.rm(self._path(step), recursive=True)

    def clean(self) -> None:
        """Remove parts without a manifest."""
        whole = set(self.steps())
        for step in self._begun():
            if step not in whole:
                self.remove(step)

    def _begun(self) -> list[int]:
        self._files.invalidate_cache()
        try:
            paths = self._files.ls(self._prefix, detail=False)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unusable(self.url, error) from error
        names = [str(path).rstrip("/").rpartition("/")[2] for path in paths]
        return [int(name.removeprefix(PREFIX)) for name in names if re.fullmatch(rf"{PREFIX}\d{{8,}}", name)]

    def _upload(self, path: Path, target: str) -> None:
        def upload() -> None:
            with path.open("rb") as source, self._files.open(target, "wb") as out:
                shutil.copyfileobj(source, out, CHUNK)

        _persist(upload)

    def _put(self, target: str, content: bytes) -> None:
        def put() -> None:
            with self._files.open(target, "wb") as out:
                out.write(content)

        _persist(put)

    def _download(self, source: str, target: Path) -> None:
        unfinished = target.with_suffix(".part")

        def download() -> None:
            with self._files.open(source, "rb") as reader, unfinished.open("wb") as out:
                shutil.copyfileobj(reader, out, CHUNK)

        _persist(download)
        unfinished.replace(target)

    def _path(self, step: int, *parts: str) -> str:
        return "/".join((self._prefix, f"{PREFIX}{step:08d}", *parts))


def _persist(work: Callable[[], None]) -> None:
    """A store that is away for a moment does not cost a checkpoint."""
    for number in range(TRIES):
        try:
            work()
            break
        except FileNotFoundError:
            raise
        except OSError:
            if number == TRIES - 1:
                raise
            time.sleep(2**number)


def _plain(name: str) -> str:
    if re.fullmatch(r"[\w.-]+", name) is None:
        raise ValueError(f"{name[:80]!r} is no name of a part")
    return name


def _connect(url: str) -> tuple[Any, str]:
    scheme = url.partition("://")[0]
    try:
        return file_system(url, options=True)
    except ImportError as error:
        needed = 'pip install "tunesmith[train]"' if scheme in ARROW_SCHEMES else f"install it: {error}"
        raise TrainError(
            f"the driver for {scheme[:20]}:// is not installed", where="resources.checkpoints", fix=needed
        ) from error
    except (ValueError, OSError) as error:
        raise _unusable(url, error) from None


def _unusable(url: str, error: Exception) -> TrainError:
    reason = str(error).replace(url, without_secrets(url)).splitlines()[0][:300]
    return TrainError(
        f"the place for checkpoints cannot be used: {reason}",
        where="resources.checkpoints",
        fix="write the URL of a bucket that you may write to, such as s3://bucket/prefix, or leave it out",
    )
