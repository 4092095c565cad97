"""One optimizer step of a run, and what may go wrong in it: memory, numbers, leaps of the loss."""

from __future__ import annotations

import math
import time

from tunesmith.data.dataset import PackedRows
from tunesmith.recipe.train import TrainSection
from tunesmith.train import refuse, spikes
from tunesmith.train.batches import BatchPlan
from tunesmith.train.heartbeat import WAITING
from tunesmith.train.journal import Journal
from tunesmith.train.keeper import Keeper
from tunesmith.train.optimizer import learning_rate
from tunesmith.train.passes import Passes
from tunesmith.train.progress import Progress
from tunesmith.train.wishes import Wishes


class Stepper:
    """Takes the steps of a run, one at a time."""

    def __init__(
        self, section: TrainSection, plan: BatchPlan, rows: PackedRows, passes: Passes, keeper: Keeper, journal: Journal
    ) -> None:
        self.section, self.plan, self.train_rows = section, plan, rows
        self.passes, self.keeper, self.journal = passes, keeper, journal
        self.strategy = passes.strategy

    def step(self, progress: Progress, mine: Wishes) -> tuple[Progress, Wishes]:
        """Do the next step. Returns where the run stands then, and what all workers wish.

        A batch whose loss is no number or leaps moves no weight and is passed over; after three of them, or as the
        recipe says, the run goes back to its last checkpoint.
        """
        began, step = time.perf_counter(), progress.step + 1
        rows = self.plan.rows(progress.step)
        weight = sum(float(self.train_rows[row].label_weights.sum()) for row in rows)
        refuse.no_label(weight, f"step {step}", rows)
        loss, tokens, labels = self.passes.gradients(self.train_rows, progress.step, rows, weight)
        computed = time.perf_counter()
        self.passes.beat.doing(WAITING, step)
        loss, tokens, labels, *flags = self.strategy.sum([loss, tokens, labels, *mine.values()])
        rate, norm = learning_rate(progress.step, self.plan.total_steps, self.section), math.nan
        heeds = self.section.on_spike != "ignore"
        verdict = spikes.judge(loss, 0.0, progress, heeds)
        if verdict == "good":
            norm = self.strategy.step(rate, self.section.max_grad_norm)
            verdict = spikes.judge(loss, norm, progress, heeds)
        else:
            self.strategy.drop()
        if verdict != "good":
            return self._passed_over(progress, verdict, loss, norm, rows), Wishes(*flags)
        refuse.unmoved(loss, norm, step)
        ended = time.perf_counter()
        progress.step = step
        progress.tokens += int(tokens)
        progress.label_tokens += int(labels)
        spikes.remember(loss, progress)
        stalled = self.keeper.stand_still()
        progress.seconds += ended - began + stalled
        numbers = {"train_loss": loss, "learning_rate": rate, "gradient_norm": norm}
        numbers |= {
            "tokens": tokens,
            "label_tokens": labels,
            "passes_seconds": computed - began,
            "stalled_seconds": stalled,
        }
        self.journal.step(progress, numbers, ended - began + stalled)
        return progress, Wishes(*flags)

    def _passed_over(self, progress: Progress, verdict: str, loss: float, norm: float, rows: list[int]) -> Progress:
        step = progress.step + 1
        if self.section.on_spike == "ignore" or step == 1:
            refuse.nonsense(loss, norm, step, rows)
        self.journal.passed_over(step, verdict, loss, norm, rows)
        progress.step = step
        progress.passed = [*progress.passed, step]
        rewind = verdict == "spike" and self.section.on_spike == "rewind"
        if rewind or spikes.in_a_row(progress) >= spikes.IN_A_ROW:
            progress = self.keeper.back(progress, self.journal)
            self.journal.rewound(progress.step, progress.passed[-1])
        return progress
