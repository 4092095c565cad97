"""The end of a run: the trained weights as a PEFT adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith.models.lora import save_adapter
from tunesmith.store.durable import new_folder
from tunesmith.train.job import ADAPTER, TrainJob

if TYPE_CHECKING:
    from peft import PeftModel


def finish(model: PeftModel, job: TrainJob) -> None:
    """Write the adapter into the run's folder, whole or not at all."""
    target = job.folder / ADAPTER
    if not target.is_dir():
        with new_folder(target) as unfinished:
            save_adapter(model, unfinished, job.model_source)
