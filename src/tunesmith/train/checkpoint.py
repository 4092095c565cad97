"""Checkpoints: everything a run needs to go on as if it had never stopped. Whole or absent, safetensors and JSON only.

There is no random state in them: order of the data, dropout and initial weights follow from the seed and the step.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from tunesmith.errors import TrainError
from tunesmith.store.durable import TEMPORARY, new_folder, temporary_sibling

PREFIX = "step-"
TENSORS = "state.safetensors"
STATE = "state.json"


@dataclass
class Progress:
    """Where a run stands after `step` optimizer steps.

    `tokens` and `label_tokens` seen, `seconds` of training over all attempts, the lowest validation loss and its step.
    For early stopping: the loss to beat, and how many evaluations in a row did not. `identity` says what run it is.
    """

    step: int = 0
    tokens: int = 0
    label_tokens: int = 0
    seconds: float = 0.0
    best_loss: float | None = None
    best_step: int | None = None
    loss_to_beat: float | None = None
    stale_evaluations: int = 0
    identity: dict[str, Any] = field(default_factory=dict)


def save(
    folder: Path, progress: Progress, parameters: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer
) -> Path:
    """Write the checkpoint of a step; it appears whole or not at all. Returns its folder.

    One that is there already was written by this run at this step, so it holds the same and stays.
    """
    from safetensors.torch import save_file

    target = at_step(folder, progress.step)
    if target.is_dir():
        return target
    tensors: dict[str, torch.Tensor] = {}
    for name, parameter in parameters.items():
        tensors[f"parameter/{name}"] = parameter.detach().cpu().contiguous()
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{key}/{name}"] = torch.as_tensor(value).detach().cpu().contiguous()
    with new_folder(target) as unfinished:
        save_file(tensors, unfinished / TENSORS)
        state = {**asdict(progress), "sha256": _sha256(unfinished / TENSORS)}
        (unfinished / STATE).write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
    return target


def load(
    path: Path, parameters: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer, identity: dict[str, Any]
) -> Progress:
    """Bring parameters and optimizer to a checkpoint's state, in place.

    Raises TrainError when it is damaged or of another run; then nothing has been changed.
    """
    progress, tensors = _read(path)
    changed = sorted(
        key for key in identity.keys() | progress.identity.keys() if progress.identity.get(key) != identity.get(key)
    )
    saved = {key: value.shape for key, value in tensors.items() if key.startswith("parameter/")}
    if changed or saved != {f"parameter/{name}": parameter.shape for name, parameter in parameters.items()}:
        raise TrainError(
            f"the checkpoint is of another run (it differs in: {', '.join(changed) or 'trained parameters'})",
            where=str(path),
            fix="train under another recipe name, or remove the run's folder",
        )
    optimizer.state.clear()
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[f"parameter/{name}"])
    for key, value in tensors.items():
        kind, _, rest = key.partition("/")
        if kind == "optimizer":
            entry, _, name = rest.partition("/")
            optimizer.state[parameters[name]][entry] = value.to(parameters[name].device)
    return progress


def _read(path: Path) -> tuple[Progress, dict[str, torch.Tensor]]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        values = json.loads((path / STATE).read_text(encoding="utf-8"))
        if values.pop("sha256") != _sha256(path / TENSORS):
            raise ValueError(f"{TENSORS} is not what was written")
        return Progress(**values), load_file(path / TENSORS)
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
