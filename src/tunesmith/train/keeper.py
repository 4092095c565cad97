"""A run's checkpoints over its life: found at the start, begun when due, gone back to when training goes wrong."""

from __future__ import annotations

from tunesmith.errors import TrainError
from tunesmith.recipe.schema import Recipe
from tunesmith.train import attempts, checkpoint
from tunesmith.train.attempts import Attempts, Restart
from tunesmith.train.delivery import Delivery
from tunesmith.train.interval import Interval
from tunesmith.train.job import CHECKPOINTS, TrainJob
from tunesmith.train.journal import Journal
from tunesmith.train.pieces import Pieces
from tunesmith.train.places import Folder, open_place
from tunesmith.train.progress import Progress
from tunesmith.train.saver import Saver
from tunesmith.train.strategies import Strategy


class Keeper:
    """One worker's side. The first worker also says when a checkpoint is due, and counts the attempts.

    Raises TrainError when the workers were lost too often without reaching another checkpoint.
    """

    def __init__(
        self, job: TrainJob, recipe: Recipe, rank: int, world_size: int, delivery: Delivery | None = None
    ) -> None:
        self.delivery = delivery or Delivery(job)
        self.job, self.section, self.rank, self.world_size = job, recipe.train, rank, world_size
        self.place = open_place(job.folder / CHECKPOINTS, recipe.resources.checkpoints)
        self.attempt = Attempts()
        if rank == 0:
            newest = max(self.place.steps(), default=0)
            self.attempt = attempts.begin(job.folder, newest, recipe.resources, self.section)
            self.delivery.sync()  # an attempt owns the run once the driver knows of it

    def resume(self, strategy: Strategy, total_steps: int) -> tuple[Progress, int]:
        """Bring the model to the newest checkpoint, if there is one.

        Returns where the run stands, and the limit of tokens in a micro-batch that memory has taught, or 0.
        """
        if self.rank == 0:
            self.place.clean()
            Folder(self.job.folder).clean()
        self.strategy = strategy
        self.identity = {**self.job.identity, "total_steps": total_steps}
        steps = self.place.steps()
        progress = Progress(identity=self.identity)
        if steps:
            progress = checkpoint.load(self.place, steps[-1], strategy, self.identity)
        told = [0.0, 0.0, 0.0]
        if self.rank == 0:
            told = [float(progress.step), float(int(self.attempt.token, 16)), self.attempt.micro_batch_tokens or 0]
        first, token, limit = strategy.sum(told)
        self.place.release()
        if strategy.sum([float(progress.step != first)])[0]:
            raise TrainError(
                f"the workers do not see the same checkpoints: one is at step {progress.step}, the first at {first:g}",
                where=self.place.shown(progress.step),
                fix="put TUNESMITH_HOME on storage that all nodes share, or name a bucket in resources.checkpoints",
            )
        name = f"{int(token):012x}"
        keep = self.section.keep_checkpoints
        self.saver = Saver(self.place, self.rank, self.world_size, name, keep, self._still_mine)
        failures, lived = self.attempt.failures, progress.seconds
        self.interval = Interval(self.section.checkpoint_every, total_steps, self.world_size, failures, lived)
        self.interval.saved(progress.step)
        self.stalled = 0.0
        return progress, int(limit)

    def save(self, progress: Progress) -> None:
        """Begin the checkpoint of a step."""
        self.stalled += self.saver.save(progress, self.strategy.pieces())
        self.interval.saved(progress.step)

    def stand_still(self) -> float:
        """The seconds that training has waited for checkpoints since the last call."""
        seconds, self.stalled = self.stalled, 0.0
        return seconds

    def written(self, journal: Journal) -> None:
        """Wait until the last checkpoint is in its place. Raises TrainError when it could not be written."""
        self.saver.wait()
        failed = self.tell(journal)
        self.saver.check()
        if failed:
            raise TrainError(
                "the last checkpoint could not be written",
                where=self.place.shown(self.saver.last_step or 0),
                fix="mend what the run's metrics.jsonl says of it, then give the same command again",
            )

    def tell(self, journal: Journal) -> bool:
        """Note the checkpoints that were written meanwhile; returns whether one has failed."""
        reports = self.saver.reports()
        for report in reports:
            self.interval.cost(report.stalled, report.seconds)
            journal.checkpoint(report)
        return any(report.failed for report in reports)

    def check(self) -> None:
        """Raise what makes further checkpoints impossible, and Restart when the run belongs to a later attempt."""
        self.saver.check()
        if not self._is_mine():
            raise Restart("a later attempt owns this run")

    def back(self, progress: Progress, journal: Journal) -> Progress:
        """Go back to the last checkpoint, from which on all batches up to the present step are passed over.

        Raises TrainError when there is none that would help.
        """
        self.written(journal)
        steps = [step for step in self.place.steps() if step < progress.step]
        if not steps or progress.rewinds >= self.section.max_rewinds:
            raise TrainError(
                f"going back to a checkpoint no longer helps at step {progress.step}"
                if steps
                else f"there is no checkpoint before step {progress.step} to go back to",
                where="train.learning_rate",
                fix="lower the learning rate, or look at the rows that the run's metrics.jsonl names as passed over",
            )
        earlier = checkpoint.load(self.place, steps[-1], self.strategy, self.identity)
        self.place.release()
        earlier.passed = sorted({*earlier.passed, *range(steps[-1] + 1, progress.step + 1)})
        earlier.rewinds = progress.rewinds + 1
        self.saver.last_step = None
        self.interval.saved(earlier.step)
        return earlier

    def at(self, step: int) -> Pieces:
        """What a checkpoint holds."""
        return checkpoint.read(self.place, step)[1]

    def ended(self) -> None:
        """Note that this attempt ends of its own will, and free what it has fetched."""
        self.place.release()
        if self.rank == 0:
            attempts.ends_as_asked(self.job.folder)

    def learnt(self, micro_batch_tokens: int) -> None:
        """Keep the limit that memory has taught for the attempts to come."""
        attempts.ends_as_asked(self.job.folder, micro_batch_tokens=micro_batch_tokens)
        self.delivery.sync()

    def _still_mine(self) -> bool:
        """Asked before a checkpoint counts: the driver then has what was told up to its step."""
        self.delivery.sync()
        return self._is_mine()

    def _is_mine(self) -> bool:
        return self.rank != 0 or Attempts.read(self.job.folder).token == self.attempt.token
