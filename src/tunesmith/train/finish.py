"""The end of a run: the trained weights as a PEFT adapter."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tunesmith.errors import TrainError
from tunesmith.models.lora import adapter_state, save_adapter
from tunesmith.store.durable import new_folder, temporary_sibling
from tunesmith.train.job import ADAPTER, TrainJob

if TYPE_CHECKING:
    from peft import PeftModel


def finish(model: PeftModel, job: TrainJob) -> None:
    """Write the adapter into the run's folder, whole or not at all, in place of one that an earlier attempt left.

    Raises TrainError when the adapter does nothing: its B matrices begin at zero, and then training left them there.
    """
    if not any(bool(tensor.any()) for name, tensor in adapter_state(model).items() if "lora_B" in name):
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
        save_adapter(model, unfinished, job.model_source, job.chat_template)
