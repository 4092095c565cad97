"""The end of a run: the trained weights as a PEFT adapter."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tunesmith.errors import TrainError
from tunesmith.models.lora import adapter_state, save_adapter
from tunesmith.store.durable import new_folder, temporary_sibling
from tunesmith.train.job import ADAPTER, TrainJob
from tunesmith.train.pieces import Pieces
from tunesmith.train.strategies.strategy import PARAMETER

if TYPE_CHECKING:
    from peft import PeftModel


def finish(model: PeftModel, pieces: Pieces, job: TrainJob) -> None:
    """Write the adapter into the run's folder, whole or not at all, in place of one that an earlier attempt left.

    `model` says what its tensors are called, `pieces` are those of the checkpoint that it is made of.

    Raises TrainError when the adapter does nothing: its B matrices begin at zero, and then training left them there.
    """
    names = [key for key in pieces.shapes if key.startswith(f"{PARAMETER}/")]
    trained = {name.removeprefix(f"{PARAMETER}/"): pieces.whole(name) for name in names}
    state = adapter_state(model, trained)
    if not any(bool(tensor.any()) for name, tensor in state.items() if "lora_B" in name):
        raise TrainError(
            "training has changed nothing: the adapter is as it was at the start",
            where="train.learning_rate",
            fix="raise it, or train.epochs; the rate reached is in the run's metrics.jsonl",
        )
    target = job.folder / ADAPTER
    if target.is_dir():
        before = temporary_sibling(target)
        target.rename(before)
        shutil.rmtree(before, ignore_errors=True)
    with new_folder(target) as unfinished:
        save_adapter(model, unfinished, job.model_source, job.chat_template, state)
