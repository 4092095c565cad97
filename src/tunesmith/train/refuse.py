"""Runs that could not learn, or not what the recipe says: each has its sentence, before or at the first step."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.data.dataset import PackedRow, PackedRows
from tunesmith.errors import DataError, ModelError, RecipeError, TrainError
from tunesmith.plan.rules import offloads
from tunesmith.recipe.resources import ResourcesSection
from tunesmith.recipe.schema import Recipe


def ignored_settings(recipe: Recipe, num_validation_rows: int) -> None:
    """Settings that contradict each other or would have no effect. Raises RecipeError naming the field."""
    section = recipe.train
    if not num_validation_rows:
        for name in ("early_stopping", "eval_every"):
            if getattr(section, name) is not None:
                raise RecipeError(
                    "there are no validation rows to evaluate on",
                    where=f"train.{name}",
                    fix="set data.split.validation or data.validation, or leave this out",
                )
    if "auto" not in (section.precision, recipe.model.dtype) and section.precision != recipe.model.dtype:
        raise RecipeError(
            f"training is to compute in {section.precision}, the base model to be in {recipe.model.dtype}",
            where="train.precision",
            fix="give both the same type, or leave one at auto",
        )


def placement(resources: ResourcesSection) -> None:
    """A strategy that is not installed, or settings that it cannot heed. Raises RecipeError naming the field."""
    strategy = resources.strategy
    if strategy.startswith("zero") and importlib.util.find_spec("deepspeed") is None:
        raise RecipeError(
            f"{strategy} needs the package deepspeed, which is not installed",
            where="resources.strategy",
            fix="pip install 'tunesmith[deepspeed]', or set resources.strategy: fsdp",
        )
    offloads(resources)


def activation_offload(recipe: Recipe, gpus: int) -> None:
    """Activations that are to leave a GPU where no worker has one. Raises RecipeError."""
    if recipe.train.activation_offload and not gpus:
        raise RecipeError(
            "activations lie in memory already: no worker has a GPU to take them off",
            where="train.activation_offload",
            fix="leave it out, or set train.gradient_checkpointing: true, which saves memory on a CPU too",
        )


def rows(train: PackedRows, validation: PackedRows, dataset: Path) -> None:
    """Parts without one learnt token. Raises DataError."""
    for part, rows in (("train", train), ("validation", validation)):
        if len(rows) and not rows.num_labels.any():
            raise DataError(
                f"no token of the {part} rows is learnt",
                where=str(dataset),
                fix="check data.train_on with `tunesmith data show RECIPE`, which prints the learnt tokens in colour",
            )


def long(rows: PackedRows, sequence_length: int, config: Any) -> None:
    """Conversations with more positions than the base model has. Raises ModelError."""
    limit = getattr(config.get_text_config(), "max_position_embeddings", None) or math.inf
    if sequence_length <= limit:
        return
    longest = max(int(rows[index].document_lengths.max()) for index in range(len(rows)))
    if longest > limit:
        raise ModelError(
            f"the longest conversation has {longest} tokens, the base model has {limit} positions",
            where="train.sequence_length",
            fix=f"set it to {limit} or less; data.overlong says what happens to longer conversations",
        )


def unknown_tokens(rows: Sequence[PackedRow], num_known: int) -> None:
    """Token ids that the model has no embedding for. Raises ModelError."""
    highest = max(int(row.input_ids.max()) for row in rows)
    if highest >= num_known:
        raise ModelError(
            f"the rows have token {highest}, the base model knows {num_known} tokens",
            where="model.source",
            fix="use the tokenizer that came with the model, without tokens added to it",
        )


def no_parameters(num_parameters: int) -> None:
    """Nothing to train. Raises TrainError."""
    if not num_parameters:
        raise TrainError("no parameter is trained", where="method.targets", fix="name layers of the base model")


def no_label(weight: float, where: str, indices: Sequence[int]) -> None:
    """A batch whose loss would be 0 divided by 0. Raises DataError."""
    if not weight > 0:
        raise DataError(
            f"no token of the packed rows {', '.join(map(str, indices[:8]))} is learnt, or all have weight 0",
            where=where,
            fix="give their answers a weight above 0, or leave the rows out (data.overlong: drop, where they were cut)",
        )


def nonsense(loss: float, norm: float, step: int, rows: Sequence[int]) -> None:
    """A loss or gradient that is no number. Raises TrainError."""
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise TrainError(
            f"the loss is {loss:g} and the gradient norm {norm:g} at step {step} (packed rows {list(rows[:8])})",
            where="train.learning_rate",
            fix="lower the learning rate, or set train.precision: float32; the last checkpoint is kept",
        )


def unmoved(loss: float, norm: float, step: int) -> None:
    """A first step (1) that moves nothing. Raises TrainError."""
    if step == 1 and norm == 0:
        raise TrainError(
            f"nothing is learnt: the loss is {loss:g}, and every gradient of the first step is zero",
            where="method.targets",
            fix="name layers whose output reaches the answers",
        )


def nonsense_evaluation(loss: float, step: int) -> None:
    """A validation loss that is no number. Raises TrainError."""
    if not np.isfinite(loss):
        raise TrainError(
            f"the validation loss is {loss:g} after step {step}",
            where="train.learning_rate",
            fix="lower the learning rate, or set train.precision: float32; the last checkpoint is kept",
        )
