"""What a worker is told, and what a run leaves behind."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tunesmith.errors import TrainError
from tunesmith.recipe.schema import Recipe

CHECKPOINTS = "checkpoints"
ADAPTER, MODEL = "adapter", "model"
RESULT = "result.json"
ERROR = "error.json"
STOP, RESIZE = "STOP", "RESIZE"


@dataclass(frozen=True)
class TrainJob:
    """A training run as plain values, so that it travels to other machines.

    Folders are those of the driver's machine; workers on hosts that do not see them have a job with their own
    (`tunesmith.train.remote`). `identity` names what a checkpoint belongs to. `cache_folder` is where a quantised base
    is kept. `chat_template` is the text of the recipe's own template, which
    then travels with the adapter.
    """

    recipe: dict[str, Any]
    run_folder: str
    dataset_folder: str
    model_folder: str
    model_source: str
    identity: dict[str, Any]
    threads: int
    chat_template: str | None = None
    cache_folder: str = ""

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.run_folder)

    @property
    def artefact(self) -> Path:
        """Where the adapter, or the whole model, is once the run has finished."""
        return self.folder / (MODEL if self.recipe["method"]["type"] == "full" else ADAPTER)

    def load_recipe(self) -> Recipe:
        """The recipe, validated again."""
        section = dict(self.recipe["train"])
        if section.get("batch_tokens") is not None:
            section.pop("batch_size", None)  # a whole dump names its default too, which reads as both being asked for
        return Recipe.model_validate({**self.recipe, "train": section})

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    `status` is `finished`, `stopped_early` or `interrupted`. `seconds` of training; `tokens` and `label_tokens` trained
    on; `best_step` and `best_loss` name the checkpoint that became the adapter; `steps` were done of `total_steps`.
    `peak_host_bytes` and `peak_device_bytes` are the most that the first worker held, None where not measured.
    """

    status: str
    steps: int
    total_steps: int
    tokens: int
    label_tokens: int
    seconds: float
    best_step: int | None
    best_loss: float | None
    trained_parameters: int
    all_parameters: int
    peak_host_bytes: int | None = None
    peak_device_bytes: int | None = None

    @property
    def finished(self) -> bool:
        """Whether there is an adapter."""
        return self.status != "interrupted"


def read_result(folder: Path) -> TrainResult | None:
    """The result of a run, or None when it has not ended. Raises TrainError when it cannot be read."""
    path = folder / RESULT
    try:
        return TrainResult(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
    except (OSError, ValueError, TypeError) as error:
        raise TrainError(
            f"the run's result cannot be read ({error})",
            where=str(path),
            fix="remove it and give the same command again: the last checkpoint has everything else",
        ) from error
