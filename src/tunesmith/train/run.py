"""A recipe's training from checks to adapter: the same recipe, data and model are the same run, resumed or skipped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.data.dataset import Dataset
from tunesmith.data.prepare import prepare
from tunesmith.errors import TrainError
from tunesmith.plan import rules
from tunesmith.recipe.fingerprint import fingerprint
from tunesmith.store.durable import write_whole
from tunesmith.store.lock import only_one
from tunesmith.train import attempts, refuse
from tunesmith.train.cost import purse
from tunesmith.train.follow import Follower
from tunesmith.train.ingredients import Ingredients, ingredients
from tunesmith.train.job import TrainJob, TrainResult, read_result
from tunesmith.train.places import open_place
from tunesmith.train.preflight import Placement, check_architecture, check_room, check_writable, place, slow_type

if TYPE_CHECKING:
    from rich.console import Console

    from tunesmith.recipe.load import LoadedRecipe
    from tunesmith.recipe.schema import Recipe
    from tunesmith.store.home import Home


class Stopped(TrainError):
    """Somebody asked the run to end: Ctrl-C, SIGTERM. Its work is kept."""


@dataclass(frozen=True)
class Planned:
    """A run that has passed all checks and not started: what it learns from, on what, where it will lie."""

    recipe: Recipe
    ingredients: Ingredients
    dataset: Dataset
    placement: Placement
    job: TrainJob
    total_steps: int

    @property
    def run_id(self) -> str:
        """The run's name, which is its folder's."""
        return self.job.folder.name

    @property
    def artefact(self) -> Path:
        """Where the adapter, or the whole model, is once the run has finished."""
        return self.job.artefact

    def to_json(self) -> dict[str, Any]:
        """What `--dry-run` prints."""
        return {
            "run_id": self.run_id,
            "run_folder": str(self.job.folder),
            "model": self.ingredients.model.to_json(),
            "dataset_version": self.dataset.version,
            "dataset_folder": str(self.dataset.folder),
            "parts": {part: self.dataset.counts(part) for part in ("train", "validation", "test")},
            "total_steps": self.total_steps,
            "workers": self.placement.workers,
            "cpus_per_worker": self.placement.cpus,
            "gpus_per_worker": self.placement.gpus,
        }


def plan_run(loaded: LoadedRecipe, home: Home, console: Console) -> Planned:
    """Check everything that can be checked in seconds, prepare the data, and say what would be run.

    Raises TunesmithError for the first thing that would make the run fail.
    """
    from tunesmith.train.batches import plan_batches

    recipe = loaded.recipe
    refuse.placement(recipe.resources)
    rules.pairs(recipe)
    check_writable(home)
    with console.status("finding the base model"):
        found = ingredients(loaded, home)
    for line in found.model.trail:
        console.print(f"model: {line}", markup=False, highlight=False, soft_wrap=True)
    check_architecture(found.model.folder, recipe)
    placement = place(recipe)
    if (slow := slow_type(recipe, placement)) is not None:
        console.print(f"warning: {slow}", markup=False, highlight=False, soft_wrap=True)
    refuse.activation_offload(recipe, placement.gpus)
    if recipe.resources.checkpoints is not None:
        open_place(home.runs, recipe.resources.checkpoints).steps()  # a bucket that is not there is told of now
    check_room(recipe, found.model.folder, home, placement)
    dataset = prepare_rows(found, home, console)
    identity = {
        "model": found.model.revision,
        "dataset": dataset.version,
        "settings": _settings_hash(recipe),
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    job = TrainJob(
        recipe=recipe.model_dump(mode="json"),
        run_folder=str(home.runs / f"{recipe.name}-{digest}"),
        dataset_folder=str(dataset.folder),
        model_folder=str(found.model.folder),
        model_source=found.model.source,
        identity=identity,
        threads=placement.cpus,
        cache_folder=str(home.models),
        chat_template=found.tokenizer.chat_template if recipe.model.chat_template else None,
    )
    train_rows, validation_rows = dataset.rows("train"), dataset.rows("validation")
    refuse.ignored_settings(recipe, len(validation_rows))
    steps = plan_batches(train_rows.num_tokens, recipe.train).total_steps
    refuse.rows(train_rows, validation_rows, dataset.folder)
    return Planned(recipe, found, dataset, placement, job, steps)


def train(planned: Planned, console: Console, in_process: bool = False) -> TrainResult:
    """Train, go on from the last checkpoint, or find the finished run.

    On Ray Train, or in this process without Ray (`in_process`, one worker). Raises TrainError when the run was
    interrupted: it can be resumed by the same call.
    """
    job = planned.job
    if (result := read_result(job.folder)) is not None:
        console.print(f"already trained: {planned.run_id}", markup=False, highlight=False, soft_wrap=True)
        return result
    job.folder.mkdir(parents=True, exist_ok=True)
    with only_one(job.folder, "run"):
        write_whole(job.folder / "recipe.json", json.dumps(job.recipe, indent=2).encode())
        follower = Follower(job, console)
        with purse(job, planned.recipe, planned.placement.need, follower.say) as counting, follower:

            def look() -> None:
                follower.look()
                counting.look(follower.reserve)

            if in_process:
                _in_process(planned, look)
            else:
                from tunesmith.train.driver import run_on_ray

                resources, placement = planned.recipe.resources, planned.placement
                run_on_ray(job, resources, placement.cpus, placement.gpus, look, follower.say)
    result = read_result(job.folder)
    if result is None and counting.stopped:
        raise TrainError(
            f"the run was stopped before its budget is crossed: {counting.stopped}; its work is kept",
            where="budget",
            fix="raise the budget and give the same command again to go on from the last checkpoint",
        )
    if result is None:
        raise Stopped(
            "the run was stopped before its end; its work is kept",
            where=str(job.folder),
            fix="give the same command again to go on from the last checkpoint",
        )
    return result


def _in_process(planned: Planned, look: Callable[[], None]) -> None:
    from threading import Event, Thread

    from tunesmith.train.loop import Loop

    if planned.recipe.resources.fewest > 1:
        raise TrainError("one process is one worker", where="resources.workers", fix="set it to 1, or train on Ray")
    done = Event()

    def watch() -> None:
        while not done.wait(0.3):
            look()

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        from tunesmith.train.interrupts import interrupts

        attempts.forget_count(planned.job.folder)
        with interrupts(planned.job):
            Loop(planned.job).run()
    finally:
        done.set()
        watcher.join()


def prepare_rows(found: Ingredients, home: Home, console: Console) -> Dataset:
    """The dataset version of these rows, made or found, with progress on the console."""
    counts: dict[str, int] = {}
    with console.status("reading rows") as status:

        def progress(stage: str, rows: int) -> None:
            counts[stage] = counts.get(stage, 0) + rows
            status.update(f"data: {stage} {counts[stage]:,} rows")

        dataset = prepare(found.preparation, home.datasets, progress)
    sizes = ", ".join(f"{dataset.counts(part)['examples']:,} {part}" for part in ("train", "validation", "test"))
    console.print(f"data: version {dataset.version}: {sizes} examples", markup=False, highlight=False, soft_wrap=True)
    return dataset


def _settings_hash(recipe: Recipe) -> str:
    """Of what decides the trained weights besides model and data. Resources and trackers do not."""
    parts = [fingerprint(recipe.method), fingerprint(recipe.train), recipe.model.dtype, recipe.name]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
