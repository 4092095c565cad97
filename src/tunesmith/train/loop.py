"""The training loop, from the first step to the adapter, in one process or as one of several workers. No Ray."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from tunesmith.data.dataset import open_dataset
from tunesmith.errors import TrainError
from tunesmith.models.attention import check_supported
from tunesmith.models.held import HeldBase
from tunesmith.models.load import choose_device
from tunesmith.models.lora_linear import speed_up
from tunesmith.models.quantise import quantised_copy
from tunesmith.train import refuse
from tunesmith.train.attempts import Restart
from tunesmith.train.batches import BatchPlan, plan_batches
from tunesmith.train.delivery import Delivery
from tunesmith.train.finish import finish
from tunesmith.train.heartbeat import Heartbeat
from tunesmith.train.job import RESIZE, TrainJob, TrainResult
from tunesmith.train.journal import Journal
from tunesmith.train.keeper import Keeper
from tunesmith.train.passes import Passes
from tunesmith.train.progress import Progress
from tunesmith.train.step import Stepper
from tunesmith.train.strategies import STRATEGIES
from tunesmith.train.wishes import Wishes, look

REPORTS = 10
"""Evaluations over a run, when the recipe gives no interval."""


class Loop:
    """One worker's side of a run. `run` goes through all of it; the rest are its parts.

    `drained` says whether this worker's node is about to go; `beat` is told what the worker does; `held` keeps the base
    model in this process for the next run; `delivery` brings to the driver what is written, where the driver does not
    see it.
    """

    def __init__(
        self,
        job: TrainJob,
        rank: int = 0,
        world_size: int = 1,
        drained: Callable[[], bool] = lambda: False,
        beat: Heartbeat | None = None,
        held: HeldBase | None = None,
        delivery: Delivery | None = None,
    ) -> None:
        self.delivery = delivery or Delivery(job)
        self.job, self.rank, self.world_size, self.drained = job, rank, world_size, drained
        self.beat = beat or Heartbeat(job.folder, rank, world_size, math.inf)
        self.recipe = job.load_recipe()
        self.section, resources = self.recipe.train, self.recipe.resources
        torch.set_num_threads(job.threads)
        self.device = choose_device()
        dataset = open_dataset(Path(job.dataset_folder))
        self.train_rows, self.validation_rows = dataset.rows("train"), dataset.rows("validation")
        self.plan: BatchPlan = plan_batches(self.train_rows.num_tokens, self.section)
        self.eval_every = self.section.eval_every or max(1, math.ceil(self.plan.total_steps / REPORTS))
        self.keeper = Keeper(job, self.recipe, rank, world_size, self.delivery)
        self.strategy = STRATEGIES[resources.strategy](rank, world_size, resources, self.device)
        self._load_model(held)

    def _load_model(self, held: HeldBase | None) -> None:
        method, folder, cache = self.recipe.method, Path(self.job.model_folder), Path(self.job.cache_folder)
        self.beat.doing("loading the model", limited=False)
        if method.type == "qlora":
            apart = self.strategy.sum([float(self.delivery.own_files)])[0] > 0
            if self.rank == 0 or apart:
                with self.delivery.one_at_a_time() if apart else nullcontext():
                    quantised_copy(folder, self.recipe.base, method, self.device, cache)
            self.strategy.sum([0.0])  # the others find what the first has made, of all or of their node
        model, self.dtype = self.strategy.load(folder, self.recipe.base, method, self.section.seed, cache, held)
        base = model.get_base_model() if method.has_adapter else model
        check_supported(base.config, self.section.sequence_length)
        refuse.long(self.train_rows, self.section.sequence_length, base.config)
        if self.section.gradient_checkpointing:
            base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.adapted = model
        if method.has_adapter and not self.strategy.whole_modules:
            speed_up(self.adapted)
        self.all_parameters = sum(p.numel() for p in model.parameters())
        self.trained_parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
        refuse.no_parameters(self.trained_parameters)
        self.passes = Passes(self.strategy, model, self.section, self.dtype, self.beat)
        converts = not method.has_adapter and self.dtype != torch.float32
        self.strategy.set_up(self.adapted, self.section, self.dtype if converts else None)
        self.model, self.parameters = self.strategy.model, self.strategy.parameters

    def run(self) -> TrainResult:
        """Resume from the newest checkpoint, or start; train to the end, to an early stop, or until told to stop.

        Raises Restart when the workers should be started again: other ones, or with less memory for each.
        """
        try:
            return self._run()
        except OSError as error:
            raise TrainError(
                f"the run cannot read or write its files ({error.strerror or error})",
                where=str(error.filename or self.job.folder),
                fix="free space or mend the permissions, then give the same command again: the last checkpoint is kept",
            ) from error

    def _run(self) -> TrainResult:
        progress, limit = self.keeper.resume(self.strategy, self.plan.total_steps)
        if limit:
            self.passes.limit = min(self.passes.limit, limit)
        self.passes.learnt = self._memory_ran_out
        with Journal(self.job, self.rank) as journal:
            self.journal = journal
            journal.start(progress, self.plan.total_steps, self._facts())
            for text in self.strategy.warnings:
                journal.warn(text)
            status, progress = self._steps(progress)
            self.beat.doing("the last checkpoint", progress.step, limited=False)
            self.keeper.save(progress)
            self.keeper.written(journal)
            if status in ("finished", "stopped_early") and self.rank == 0:
                finish(self.adapted, self.keeper.at(progress.best_step or progress.step), self.job)
                self.delivery.hand_over()
            self.keeper.ended()
            (self.job.folder / RESIZE).unlink(missing_ok=True)
            if status == "restart":
                raise Restart("the workers change")
            return journal.end(self._result(status, progress))

    def _steps(self, progress: Progress) -> tuple[str, Progress]:
        stepper = Stepper(self.section, self.plan, self.train_rows, self.passes, self.keeper, self.journal)
        while progress.step < self.plan.total_steps:
            # Asked before a step, so that a run resumed after its early stop stops again.
            if self.section.early_stopping and progress.stale_evaluations >= self.section.early_stopping.patience:
                return "stopped_early", progress
            if progress.step + 1 in progress.passed:
                progress.step += 1
                continue
            progress, wishes = stepper.step(progress, self._mine(progress.step + 1))
            if wishes.failed:
                self.keeper.saver.give_up()
            self.keeper.check()
            last = progress.step == self.plan.total_steps
            if len(self.validation_rows) and (last or progress.step % self.eval_every == 0):
                self._evaluate(progress)
            if wishes.leave and not last:
                return "interrupted" if wishes.stop else "restart", progress
            # The best is saved at once: it is what the adapter is made of.
            if not last and (wishes.save or progress.best_step == progress.step):
                self.keeper.save(progress)
        return "finished", progress

    def _mine(self, step: int) -> Wishes:
        """What this worker sees before a step."""
        failed = self.keeper.tell(self.journal)
        due, busy = self.keeper.interval.due(step), self.keeper.saver.busy
        return look(self.job.folder, self.rank, self.drained(), due, busy, failed)

    def _memory_ran_out(self, limit: int) -> None:
        self.keeper.learnt(limit)
        self.journal.warn(f"memory ran out: micro-batches of {limit} tokens from now on")
        if self.world_size > 1:
            raise Restart("memory ran out")  # the others are in the middle of theirs

    def _evaluate(self, progress: Progress) -> None:
        """Note the validation loss, whether it is the lowest so far, and whether it falls as early stopping asks."""
        began = time.perf_counter()
        sums = self.strategy.sum(list(self.passes.validation_loss(self.validation_rows, progress.step)))
        refuse.no_label(sums[1], "the validation rows", list(range(len(self.validation_rows))))
        loss = sums[0] / sums[1]
        refuse.nonsense_evaluation(loss, progress.step)
        if progress.best_loss is None or loss < progress.best_loss:
            progress.best_loss, progress.best_step = loss, progress.step
        required = self.section.early_stopping.min_improvement if self.section.early_stopping else 0.0
        if progress.loss_to_beat is None or loss < progress.loss_to_beat - required:
            progress.loss_to_beat, progress.stale_evaluations = loss, 0
        else:
            progress.stale_evaluations += 1
        self.journal.evaluation(progress, loss, time.perf_counter() - began)

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
            peak_host_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10,
            peak_device_bytes=torch.cuda.max_memory_reserved() if self.device.type == "cuda" else None,
            **counted,
        )
