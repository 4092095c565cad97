"""Checkpoints: everything a run needs to go on as if it had never stopped. Whole or absent, safetensors and JSON only.

All workers write at the same time, each its own file into one unfinished folder and then a note that it is done. When
all notes are there the first worker adds the manifest and gives the folder its name. There is no random state in it:
order of the data, dropout and initial weights follow from the seed and the step.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import TrainError
from tunesmith.store.durable import TEMPORARY, publish, sync_file, temporary_sibling, write_whole
from tunesmith.train.pieces import Piece, Pieces, write_pieces
from tunesmith.train.progress import Progress

if TYPE_CHECKING:
    from tunesmith.train.strategies import Strategy

PREFIX = "step-"
STATE = "state.json"
FILES = "files"
WAIT_SECONDS = 1800
"""How long the first worker waits for the others' files."""


def save(
    folder: Path, progress: Progress, pieces: Iterable[Piece], rank: int = 0, world_size: int = 1, attempt: str = "0"
) -> None:
    """Write this worker's part of the checkpoint of a step; the first worker returns when all of it is in force.

    `attempt` is the same for all workers of a run and another after every restart. A checkpoint that is there already
    was written by this run at this step, so it holds the same and stays.
    """
    target = at_step(folder, progress.step)
    if target.is_dir():
        return
    unfinished = folder / f"{TEMPORARY}{target.name}-{attempt}"
    unfinished.mkdir(parents=True, exist_ok=True)
    path = unfinished / f"rank-{rank:05d}.safetensors"
    write_pieces(path, pieces)
    with path.open("rb") as file:
        sync_file(file.fileno())
    # With the note in its place the folder may be renamed at any moment: nothing in it is touched after that.
    note = temporary_sibling(_note(path))
    note.write_text(json.dumps(_sha256(path)), encoding="utf-8")
    note.replace(_note(path))
    if rank == 0:
        files = _await(unfinished, world_size)
        write_whole(unfinished / STATE, (json.dumps({**asdict(progress), FILES: files}, indent=2) + "\n").encode())
        publish(unfinished, target)


def _await(unfinished: Path, world_size: int) -> dict[str, str]:
    """The files of all workers with their hashes; the notes are removed."""
    paths = [unfinished / f"rank-{rank:05d}.safetensors" for rank in range(world_size)]
    deadline = time.monotonic() + WAIT_SECONDS
    while missing := [path.name for path in paths if not _note(path).is_file()]:
        if time.monotonic() > deadline:
            raise TrainError(
                f"workers did not write their part of a checkpoint in {WAIT_SECONDS // 60} minutes ({missing[0]})",
                where=str(unfinished),
                fix="look into the workers' logs; the last checkpoint is kept",
            )
        time.sleep(0.005)
    found = {}
    for path in paths:
        found[path.name] = json.loads(_note(path).read_bytes())
        _note(path).unlink()
    return found


def _note(path: Path) -> Path:
    return path.with_suffix(".done")


def load(path: Path, strategy: Strategy, identity: dict[str, Any]) -> Progress:
    """Bring parameters and optimizer to a checkpoint's state, in place, whatever strategy and workers wrote it.

    Raises TrainError when it is damaged or of another run; then nothing has been changed.
    """
    progress, pieces = read(path, strategy.rank, strategy.world_size)
    changed = sorted(
        key for key in identity.keys() | progress.identity.keys() if progress.identity.get(key) != identity.get(key)
    )
    saved = {key: shape for key, shape in pieces.shapes.items() if key.startswith("parameter/")}
    if changed or saved != {f"parameter/{name}": shape for name, shape in strategy.shapes.items()}:
        raise TrainError(
            f"the checkpoint is of another run (it differs in: {', '.join(changed) or 'trained parameters'})",
            where=str(path),
            fix="train under another recipe name, or remove the run's folder",
        )
    strategy.restore(pieces)
    return progress


def read(path: Path, rank: int = 0, world_size: int = 1) -> tuple[Progress, Pieces]:
    """Open a checkpoint. The workers share out the checking of its files. Raises TrainError when it is damaged."""
    from safetensors import SafetensorError

    try:
        values = json.loads((path / STATE).read_text(encoding="utf-8"))
        files = sorted(values.pop(FILES).items())
        for name, digest in files[rank::world_size]:
            if digest != _sha256(path / name):
                raise ValueError(f"{name} is not what was written")
        return Progress(**values), Pieces([path / name for name, _ in files])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise TrainError(
            f"the checkpoint is damaged ({reason})",
            where=str(path),
            fix="remove this folder to go on from the checkpoint before it, or from the start",
        ) from error


def latest(folder: Path) -> Path | None:
    """The newest checkpoint, or None. What killed processes left unfinished does not count."""
    return max(_all(folder), key=_step, default=None)


def at_step(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step is."""
    return folder / f"{PREFIX}{step:08d}"


def prune(folder: Path, keep: int, best_step: int | None) -> None:
    """Remove all but the newest `keep` checkpoints and the best one."""
    for path in sorted(_all(folder), key=_step)[:-keep]:
        if _step(path) != best_step:
            doomed = temporary_sibling(path)  # renamed first, so that no reader sees it half removed
            path.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)


def clean(folder: Path) -> None:
    """Remove what killed attempts left unfinished. Only for the one process that writes here, before it does."""
    for path in folder.glob(f"{TEMPORARY}*"):
        shutil.rmtree(path, ignore_errors=True)


def _all(folder: Path) -> list[Path]:
    """The checkpoints, and no copies a user may have made under other names."""
    return [path for path in folder.glob(f"{PREFIX}*") if re.fullmatch(rf"{PREFIX}\d{{8,}}", path.name)]


def _step(path: Path) -> int:
    return int(path.name.removeprefix(PREFIX))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
