"""Checkpoints: everything a run needs to go on as if it had never stopped. Whole or absent, safetensors and JSON only.

There is no random state in them: order of the data, dropout and initial weights follow from the seed and the step.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from tunesmith.errors import TrainError
from tunesmith.store.durable import new_folder, sweep

PREFIX = "step-"
TENSORS = "state.safetensors"
STATE = "state.json"


@dataclass
class Progress:
    """Where a run stands after `step` optimizer steps.

    `tokens` and `label_tokens` seen, `seconds` of training over all attempts, the best validation loss and its step,
    and how many evaluations in a row did not improve on it.
    """

    step: int = 0
    tokens: int = 0
    label_tokens: int = 0
    seconds: float = 0.0
    best_loss: float | None = None
    best_step: int | None = None
    stale_evaluations: int = 0
    last_evaluation: int = -1
    identity: dict[str, Any] = field(default_factory=dict)


def save(
    folder: Path, progress: Progress, parameters: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer
) -> Path:
    """Write the checkpoint of a step; it appears whole or not at all. Returns its folder."""
    from safetensors.torch import save_file

    target = folder / f"{PREFIX}{progress.step:08d}"
    tensors: dict[str, torch.Tensor] = {}
    for name, parameter in parameters.items():
        tensors[f"parameter/{name}"] = parameter.detach().cpu().contiguous()
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{key}/{name}"] = torch.as_tensor(value).detach().cpu().contiguous()
    if target.is_dir():  # left by an attempt that stopped after this step and before the next
        return target
    with new_folder(target) as unfinished:
        save_file(tensors, unfinished / TENSORS)
        (unfinished / STATE).write_text(json.dumps(asdict(progress), indent=2) + "\n", encoding="utf-8")
    return target


def load(
    path: Path, parameters: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer, identity: dict[str, Any]
) -> Progress:
    """Bring parameters and optimizer to a checkpoint's state, in place.

    Raises TrainError when it is of another run or cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        progress = Progress(**json.loads((path / STATE).read_text(encoding="utf-8")))
        tensors = load_file(path / TENSORS)
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise TrainError(
            f"the checkpoint cannot be read ({error})",
            where=str(path),
            fix="remove its folder to go on from the one before",
        ) from error
    changed = sorted(key for key in identity if progress.identity.get(key) != identity[key])
    names = {name.removeprefix("parameter/") for name in tensors if name.startswith("parameter/")}
    if changed or names != set(parameters):
        raise TrainError(
            f"the checkpoint is of another run ({', '.join(changed) or 'other parameters'})",
            where=str(path),
            fix="train under another recipe name, or remove the run's folder",
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[f"parameter/{name}"])
            state = {
                key.split("/")[1]: value
                for key, value in tensors.items()
                if key.endswith(f"/{name}") and key.startswith("optimizer/")
            }
            if state:
                optimizer.state[parameter] = {
                    key: value if key == "step" else value.to(parameter.device) for key, value in state.items()
                }
    return progress


def latest(folder: Path) -> Path | None:
    """The newest checkpoint, or None. What killed processes left unfinished does not count."""
    return max(folder.glob(f"{PREFIX}*"), default=None)


def at_step(folder: Path, step: int) -> Path:
    """The checkpoint of a step."""
    return folder / f"{PREFIX}{step:08d}"


def prune(folder: Path, keep: int, best_step: int | None) -> None:
    """Remove all but the newest `keep` checkpoints and the best one."""
    sweep(folder)
    for path in sorted(folder.glob(f"{PREFIX}*"))[:-keep]:
        if best_step is None or path != at_step(folder, best_step):
            doomed = path.with_name(f".tmp-{path.name}")  # renamed first, so that no reader sees it half removed
            path.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
