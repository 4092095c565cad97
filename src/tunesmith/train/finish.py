"""The end of a run: the trained weights as a PEFT adapter, or as a model of their own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from tunesmith.errors import TrainError
from tunesmith.models.files import model_files
from tunesmith.models.load import choose_dtype, load_base, own_dtype
from tunesmith.models.lora import TEMPLATE, adapter_state, save_adapter
from tunesmith.models.outline import UnsuitedError, outline, stored_buffers, unread
from tunesmith.models.quiet import quiet_libraries
from tunesmith.models.stored import Shards
from tunesmith.store.durable import new_folder, temporary_sibling
from tunesmith.train.job import TrainJob
from tunesmith.train.pieces import Pieces
from tunesmith.train.strategies.strategy import PARAMETER


def finish(model: Any, pieces: Pieces, job: TrainJob) -> None:
    """Write what was trained into the run's folder, whole or not at all, in place of what an earlier attempt left.

    `pieces` are those of the checkpoint it is made of; `model` says what an adapter's tensors are called. Raises
    TrainError when training has changed nothing.
    """
    target = job.artefact
    if target.is_dir():
        before = temporary_sibling(target)
        target.rename(before)
        shutil.rmtree(before, ignore_errors=True)
    with new_folder(target) as unfinished:
        if job.load_recipe().method.has_adapter:
            _write_adapter(model, pieces, job, unfinished)
        else:
            _write_model(pieces, job, unfinished)


def _write_adapter(model: Any, pieces: Pieces, job: TrainJob, folder: Path) -> None:
    names = [key for key in pieces.shapes if key.startswith(f"{PARAMETER}/")]
    state = adapter_state(model, {name.removeprefix(f"{PARAMETER}/"): pieces.whole(name) for name in names})
    # B matrices begin at zero, and then training left them there.
    if not any(bool(tensor.any()) for name, tensor in state.items() if "lora_B" in name):
        raise _nothing_changed("the adapter is as it was")
    save_adapter(model, folder, job.model_source, job.chat_template, state)


def _write_model(pieces: Pieces, job: TrainJob, folder: Path) -> None:
    """The base anew, in the type it was published in, with what was trained in its place."""
    recipe, base = job.load_recipe(), Path(job.model_folder)
    section = recipe.model.model_copy(update={"dtype": own_dtype(base)})
    cpu = torch.device("cpu")
    try:
        model = outline(base, section, cpu, choose_dtype(section.dtype, cpu))
    except UnsuitedError:
        changed = _write_whole(load_base(base, section, cpu), pieces, folder)
    else:
        changed = _write_tensors(model, pieces, folder)
    if not changed:
        raise _nothing_changed("the weights are as they were")
    for name in model_files(path.name for path in base.iterdir() if path.is_file()):
        if name != "config.json" and ".safetensors" not in name:
            shutil.copyfile(base / name, folder / name)
    if job.chat_template is not None:
        (folder / TEMPLATE).write_text(job.chat_template, encoding="utf-8")


def _write_tensors(model: Any, pieces: Pieces, folder: Path) -> bool:
    """One tensor after the other; returns whether one has changed."""
    changed = False
    model.config.save_pretrained(folder)
    with Shards(folder) as shards:
        for name, stored in unread(model).items():
            before = stored.whole(torch.device("cpu"), model.dtype)
            after = before
            if f"{PARAMETER}/{name}" in pieces.shapes:
                after = pieces.whole(f"{PARAMETER}/{name}").to(before.dtype)
                changed = changed or not torch.equal(before, after)
            shards.put(name, after)
        for name, buffer in stored_buffers(model).items():
            shards.put(name, buffer)
    return changed


def _write_whole(whole: Any, pieces: Pieces, folder: Path) -> bool:
    """The same with a model whose tensors are not stored as they are computed with."""
    changed = False
    with torch.no_grad():
        for name, parameter in whole.named_parameters():
            if f"{PARAMETER}/{name}" in pieces.shapes:
                trained = pieces.whole(f"{PARAMETER}/{name}").to(parameter.dtype)
                changed = changed or not torch.equal(trained, parameter)
                parameter.copy_(trained)
    if changed:
        with quiet_libraries():
            whole.save_pretrained(folder)
    return changed


def _nothing_changed(what: str) -> TrainError:
    return TrainError(
        f"training has changed nothing: {what} at the start",
        where="train.learning_rate",
        fix="raise it, or train.epochs; the rate reached is in the run's metrics.jsonl",
    )
