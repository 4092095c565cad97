"""Checkpoints in a folder that all workers share: an unfinished folder that gets its name when it is whole."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tunesmith.store.durable import TEMPORARY, publish, sync_file, temporary_sibling, write_whole
from tunesmith.train.places.place import FILES, STATE, Place, part_name, sha256

PREFIX = "step-"


class Folder(Place):
    """`step-00000010/` holds `rank-00000.safetensors`, one file for each worker, and `state.json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def steps(self) -> list[int]:
        """The steps of the folders; copies that a user made under other names do not count."""
        names = [path.name for path in self.folder.glob(f"{PREFIX}*")]
        return sorted(int(name.removeprefix(PREFIX)) for name in names if re.fullmatch(rf"{PREFIX}\d{{8,}}", name))

    def at_step(self, step: int) -> Path:
        """Where the checkpoint of a step is."""
        return self.folder / f"{PREFIX}{step:08d}"

    def shown(self, step: int) -> str:
        """Its folder."""
        return str(self.at_step(step))

    def write_part(self, step: int, attempt: str, rank: int, write: Callable[[Path], None]) -> None:
        """Write into the unfinished folder, then a note with the file's hash."""
        unfinished = self._unfinished(step, attempt)
        unfinished.mkdir(parents=True, exist_ok=True)
        path = unfinished / f"{part_name(rank)}.safetensors"
        try:
            write(path)
            with path.open("rb") as file:
                sync_file(file.fileno())
            digest = sha256(path)
        except OSError:
            path.unlink(missing_ok=True)  # on a full disk its room is needed
            raise
        # With the note in its place the folder may be renamed at any moment: nothing in it is touched after that.
        note = temporary_sibling(path)
        note.write_text(digest, encoding="ascii")
        note.replace(path.with_suffix(".done"))

    def _announced(self, step: int, attempt: str, rank: int) -> tuple[str, str] | None:
        path = self._unfinished(step, attempt) / f"{part_name(rank)}.safetensors"
        note = path.with_suffix(".done")
        return (path.name, note.read_text(encoding="ascii")) if note.is_file() else None

    def publish(self, step: int, attempt: str, files: dict[str, str], values: dict[str, Any]) -> None:
        """Write the manifest and give the folder its name."""
        unfinished = self._unfinished(step, attempt)
        for note in unfinished.glob("*.done"):
            note.unlink()
        write_whole(unfinished / STATE, (json.dumps({**values, FILES: files}, indent=2) + "\n").encode())
        publish(unfinished, self.at_step(step))

    def fetch(self, step: int, rank: int, world_size: int) -> tuple[dict[str, Any], list[Path]]:
        """The files where they are."""
        folder = self.at_step(step)
        values = json.loads((folder / STATE).read_text(encoding="utf-8"))
        files = sorted(values.pop(FILES).items())
        for name, digest in files[rank::world_size]:
            if digest != sha256(folder / name):
                raise ValueError(f"{name} is not what was written")
        return values, [folder / name for name, _ in files]

    def remove(self, step: int) -> None:
        """Renamed first, so that no reader sees it half removed."""
        path = self.at_step(step)
        doomed = temporary_sibling(path)
        with suppress(FileNotFoundError):  # another worker was first
            path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    def clean(self) -> None:
        """Remove unfinished folders."""
        for path in self.folder.glob(f"{TEMPORARY}*"):
            shutil.rmtree(path, ignore_errors=True)

    def _unfinished(self, step: int, attempt: str) -> Path:
        return self.folder / f"{TEMPORARY}{self.at_step(step).name}-{attempt}"
