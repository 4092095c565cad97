"""The training loop, from the first step to the adapter, in one process or as one of several workers. No Ray."""

from __future__ import annotations

import math
import secrets
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from tunesmith.data.dataset import PackedRows, open_dataset
from tunesmith.errors import TrainError
from tunesmith.models.attention import check_supported
from tunesmith.models.load import choose_device
from tunesmith.models.lora_linear import speed_up
from tunesmith.models.quantise import quantised_copy
from tunesmith.models.trainable import load_trainable
from tunesmith.recipe.schema import Recipe
from tunesmith.train import checkpoint, refuse
from tunesmith.train.batches import BatchPlan, even_micro_batches, plan_batches
from tunesmith.train.chance import draws, seed_draws
from tunesmith.train.finish import finish
from tunesmith.train.forward import MicroBatch, loss_sum
from tunesmith.train.job import CHECKPOINTS, STOP, TrainJob, TrainResult
from tunesmith.train.journal import Journal
from tunesmith.train.optimizer import learning_rate
from tunesmith.train.progress import Progress
from tunesmith.train.strategies import STRATEGIES

REPORTS = 10
"""Evaluations and checkpoints over a run, when the recipe gives no interval."""


class Loop:
    """One worker's side of a run. `run` goes through all of it; the rest are its parts."""

    def __init__(self, job: TrainJob, rank: int = 0, world_size: int = 1) -> None:
        self.job, self.rank, self.world_size = job, rank, world_size
        self.recipe: Recipe = job.load_recipe()
        self.section = self.recipe.train
        torch.set_num_threads(job.threads)
        self.device = choose_device()
        dataset = open_dataset(Path(job.dataset_folder))
        self.train_rows, self.validation_rows = dataset.rows("train"), dataset.rows("validation")
        self.plan: BatchPlan = plan_batches(self.train_rows.num_tokens, self.section)
        self.eval_every = self.section.eval_every or max(1, math.ceil(self.plan.total_steps / REPORTS))
        self.checkpoint_every = self.section.checkpoint_every or max(1, math.ceil(self.plan.total_steps / REPORTS))
        self.checkpoints = job.folder / CHECKPOINTS
        strategy = STRATEGIES[self.recipe.resources.strategy]
        self.strategy = strategy(rank, world_size, self.recipe.resources, self.device)
        self._load_model()

    def _load_model(self) -> None:
        method, folder, cache = self.recipe.method, Path(self.job.model_folder), Path(self.job.cache_folder)
        if method.type == "qlora":
            if self.rank == 0:
                quantised_copy(folder, self.recipe.base, method, self.device, cache)
            self.strategy.sum([0.0])  # the others find what the first has made
        model, self.dtype = load_trainable(folder, self.recipe.base, method, self.device, self.section.seed, cache)
        base = model.get_base_model() if method.has_adapter else model
        check_supported(base.config, self.section.sequence_length)
        refuse.long(self.train_rows, self.section.sequence_length, base.config)
        if self.section.gradient_checkpointing:
            base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.num_known_tokens = base.get_input_embeddings().num_embeddings
        self.adapted = model
        if method.has_adapter and not self.strategy.whole_modules:
            speed_up(self.adapted)
        self.all_parameters = sum(p.numel() for p in model.parameters())
        self.trained_parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
        refuse.no_parameters(self.trained_parameters)
        # A dropout mask is drawn for a row, so that it depends on neither the workers nor the size of micro-batches.
        self.micro_batch_tokens = 1 if draws(self.adapted) else self.section.micro_batch_tokens
        converts = not method.has_adapter and self.dtype != torch.float32
        self.strategy.set_up(self.adapted, self.section, self.dtype if converts else None)
        self.model, self.parameters = self.strategy.model, self.strategy.parameters

    def run(self) -> TrainResult:
        """Resume from the newest checkpoint, or start; train to the end, to an early stop, or until told to stop."""
        try:
            return self._run()
        except OSError as error:
            raise TrainError(
                f"the run cannot read or write its files ({error.strerror or error})",
                where=str(error.filename or self.job.folder),
                fix="free space or mend the permissions, then give the same command again: the last checkpoint is kept",
            ) from error

    def _run(self) -> TrainResult:
        progress = self._resume()
        with Journal(self.job, self.rank) as journal:
            journal.start(progress, self.plan.total_steps, self._facts())
            status = self._steps(progress, journal)
            self._save(progress)
            if status != "interrupted":
                self._finish(progress)
            return journal.end(self._result(status, progress))

    def _resume(self) -> Progress:
        if self.rank == 0:
            checkpoint.clean(self.checkpoints)
            checkpoint.clean(self.job.folder)
        path = checkpoint.latest(self.checkpoints)
        identity = {**self.job.identity, "total_steps": self.plan.total_steps}
        progress = Progress(identity=identity)
        if path is not None:
            progress = checkpoint.load(path, self.strategy, identity)
        drawn = secrets.randbits(48) if self.rank == 0 else 0
        first, attempt = self.strategy.sum([float(progress.step) if self.rank == 0 else 0.0, float(drawn)])
        self.attempt = f"{int(attempt):012x}"
        if self.strategy.sum([float(progress.step != first)])[0]:
            raise TrainError(
                f"the workers do not see the same checkpoints: one is at step {progress.step}, the first at {first:g}",
                where=str(self.checkpoints),
                fix="put TUNESMITH_HOME on storage that all nodes share",
            )
        return progress

    def _steps(self, progress: Progress, journal: Journal) -> str:
        while progress.step < self.plan.total_steps:
            # Asked before a step, so that a run resumed after its early stop stops again.
            if self.section.early_stopping and progress.stale_evaluations >= self.section.early_stopping.patience:
                return "stopped_early"
            began = time.perf_counter()
            numbers, stop = self._step(progress.step)
            progress.step += 1
            seconds = time.perf_counter() - began
            progress.seconds += seconds
            progress.tokens += int(numbers["tokens"])
            progress.label_tokens += int(numbers["label_tokens"])
            journal.step(progress, numbers, seconds)
            last = progress.step == self.plan.total_steps
            if len(self.validation_rows) and (last or progress.step % self.eval_every == 0):
                self._evaluate(progress, journal)
            if stop and not last:
                return "interrupted"
            # The best is saved at once: it is what the adapter is made of.
            due = progress.step % self.checkpoint_every == 0 or progress.best_step == progress.step
            if due and not last:
                self._save(progress)
        return "finished"

    def _step(self, step: int) -> tuple[dict[str, float], bool]:
        """One optimizer step: returns its numbers, and whether somebody asked the run to stop."""
        rows = self.plan.rows(step)
        weight = sum(float(self.train_rows[row].label_weights.sum()) for row in rows)
        refuse.no_label(weight, f"step {step + 1}", rows)
        loss, tokens, labels = self._gradients(step, rows, weight)
        rate = learning_rate(step, self.plan.total_steps, self.section)
        norm = self.strategy.step(rate, self.section.max_grad_norm)
        asked = float(self.rank == 0 and (self.job.folder / STOP).exists())
        loss, tokens, labels, asked = self.strategy.sum([loss, tokens, labels, asked])
        refuse.nonsense(loss, norm, step + 1, rows)
        numbers = {"train_loss": loss, "learning_rate": rate, "gradient_norm": norm}
        return {**numbers, "tokens": tokens, "label_tokens": labels}, asked > 0

    def _gradients(self, step: int, rows: list[int], weight: float) -> tuple[float, float, float]:
        """Forward and backward passes of this worker's rows; returns its share of the loss, its tokens and labels.

        Afterwards every parameter holds the gradient of the whole batch, of all workers.
        """
        groups = self._groups(rows, self.train_rows, self.micro_batch_tokens)
        self.model.train()
        losses, tokens, labels = [], 0, 0
        for number, (group, counts) in enumerate(groups, 1):
            seed_draws(self.section.seed, step, group[0])  # for dropout, where there is any
            batch = self._batch(self.train_rows, group)
            with self.strategy.computing(last=number == len(groups)):
                loss = loss_sum(self.model, batch) / weight * float(counts)
                self.strategy.backward(loss)
            losses.append(loss.detach())
            if counts:
                tokens += batch.num_tokens
                labels += len(batch.targets)
        return float(torch.stack(losses).double().sum()), float(tokens), float(labels)

    def _groups(self, rows: list[int], of: PackedRows, limit: int) -> list[tuple[list[int], bool]]:
        return even_micro_batches(rows, of.num_tokens, limit, self.rank, self.world_size, self.strategy.lockstep)

    def _batch(self, rows: PackedRows, indices: list[int]) -> MicroBatch:
        chosen = [rows[index] for index in indices]
        refuse.unknown_tokens(chosen, self.num_known_tokens)
        return MicroBatch.of(chosen, self.device, self.dtype)

    def _evaluate(self, progress: Progress, journal: Journal) -> None:
        """Note the validation loss, whether it is the lowest so far, and whether it falls as early stopping asks."""
        began = time.perf_counter()
        loss = self._validation_loss()
        refuse.nonsense_evaluation(loss, progress.step)
        if progress.best_loss is None or loss < progress.best_loss:
            progress.best_loss, progress.best_step = loss, progress.step
        required = self.section.early_stopping.min_improvement if self.section.early_stopping else 0.0
        if progress.loss_to_beat is None or loss < progress.loss_to_beat - required:
            progress.loss_to_beat, progress.stale_evaluations = loss, 0
        else:
            progress.stale_evaluations += 1
        journal.evaluation(progress, loss, time.perf_counter() - began)

    @torch.no_grad()
    def _validation_loss(self) -> float:
        """Mean over the learnt tokens of the validation rows, in nats."""
        self.model.eval()
        total, weight = 0.0, 0.0
        rows = list(range(len(self.validation_rows)))
        for group, counts in self._groups(rows, self.validation_rows, self.section.micro_batch_tokens):
            batch = self._batch(self.validation_rows, group)
            with self.strategy.computing():
                loss = float(loss_sum(self.adapted, batch))
            total += loss * counts
            weight += batch.label_weight * counts
        total, weight = self.strategy.sum([total, weight])
        refuse.no_label(weight, "the validation rows", rows)
        return total / weight

    def _save(self, progress: Progress) -> None:
        pieces = self.strategy.pieces()
        checkpoint.save(self.checkpoints, progress, pieces, self.rank, self.world_size, self.attempt)
        if self.rank == 0:
            checkpoint.prune(self.checkpoints, self.section.keep_checkpoints, progress.best_step)

    def _finish(self, progress: Progress) -> None:
        """The best weights, as their checkpoint has them, become the adapter."""
        if self.rank == 0:
            _, pieces = checkpoint.read(checkpoint.at_step(self.checkpoints, progress.best_step or progress.step))
            finish(self.adapted, pieces, self.job)

    def _facts(self) -> dict[str, Any]:
        return {
            "trained_parameters": self.trained_parameters,
            "all_parameters": self.all_parameters,
            "rows": len(self.train_rows),
            "world_size": self.world_size,
            "device": str(self.device),
            "dtype": str(self.dtype).removeprefix("torch."),
        }

    def _result(self, status: str, progress: Progress) -> TrainResult:
        facts = self._facts()
        counted = {key: value for key, value in asdict(progress).items() if key in TrainResult.__dataclass_fields__}
        return TrainResult(
            status=status,
            steps=progress.step,
            total_steps=self.plan.total_steps,
            trained_parameters=facts["trained_parameters"],
            all_parameters=facts["all_parameters"],
            **counted,
        )
