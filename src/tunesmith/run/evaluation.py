"""The evaluation of a finished run, made once for each set of evaluation settings."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.evaluate.evaluate import evaluate
from tunesmith.evaluate.render import write_report
from tunesmith.evaluate.result import EvaluationReport, ReportContext, TrainingPoint, TrainingSummary, read_report
from tunesmith.recipe.fingerprint import fingerprint
from tunesmith.run.contestants import Models, machine
from tunesmith.train.cost import evaluation_meter
from tunesmith.train.job import TrainResult
from tunesmith.train.run import Planned
from tunesmith.train.sinks import read_events

if TYPE_CHECKING:
    from rich.console import Console

    from tunesmith.store.home import Home

SOFTWARE = ("tunesmith", "torch", "transformers", "peft", "ray", "sacrebleu", "rouge-score", "scipy")


def report_folder(planned: Planned) -> Path:
    """Where the report of this run under these evaluation settings lies."""
    settings = fingerprint(planned.recipe.evaluate)
    digest = hashlib.sha256(json.dumps([settings, planned.recipe.data.system]).encode()).hexdigest()[:8]
    return planned.job.folder / f"report-{digest}"


def evaluate_run(planned: Planned, result: TrainResult, home: Home, console: Console) -> tuple[EvaluationReport, Path]:
    """Compare base, best prompt and what the run trained, or find the report made before. Returns it and its folder.

    An adapter trained on a quantised base is evaluated on that base, and so are the prompts.
    """
    folder = report_folder(planned)
    if (folder / "report.json").is_file():
        console.print("already evaluated", markup=False)
        return read_report(folder / "report.json"), folder
    from tunesmith.run.elsewhere import evaluate_elsewhere, is_elsewhere

    context = _context(planned, result)
    if is_elsewhere(planned.placement):
        console.print("evaluating on a node with a GPU, where the driver has none", markup=False, soft_wrap=True)
        with evaluation_meter(planned.job, planned.recipe, elsewhere=True) as meter, console.status("evaluating"):
            report = evaluate_elsewhere(planned.job, planned.placement, context, meter.look)
    else:
        with console.status("loading base and tuned model"):
            models = Models.load(planned.job, planned.recipe, home.models)
        with evaluation_meter(planned.job, planned.recipe) as meter, console.status("evaluating") as status:

            def told(what: str, done: int, total: int) -> None:
                meter.look()
                status.update(f"evaluating: {what} {done}/{total}")

            renderer, section = planned.ingredients.renderer, planned.recipe.evaluate
            report = evaluate(models.tuned, renderer, planned.dataset, section, context, told, models.base)
    folder.mkdir(parents=True, exist_ok=True)
    write_report(report, folder)
    return report, folder


def _context(planned: Planned, result: TrainResult) -> ReportContext:
    model = planned.ingredients.model
    return ReportContext(
        name=planned.recipe.name,
        model=f"{model.source} ({model.revision[:19]})",
        dataset_version=planned.dataset.version,
        recipe_hash=fingerprint(planned.recipe),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
        software={name: found for name in SOFTWARE if (found := _version(name))},
        training=_training(planned, result),
    )


def _training(planned: Planned, result: TrainResult) -> TrainingSummary:
    points: dict[int, dict[str, float]] = {}
    for event in read_events(planned.job.folder):
        wanted = {"step": ("train_loss", "tokens_per_second"), "evaluation": ("validation_loss",)}.get(
            event["event"], ()
        )
        for name in wanted:
            points.setdefault(event["step"], {})[name] = event[name]
    return TrainingSummary(
        curve=tuple(TrainingPoint(step, **values) for step, values in sorted(points.items())),
        num_examples=planned.dataset.counts("train")["examples"],
        num_steps=result.steps,
        minutes=result.seconds / 60,
        tokens_per_second=result.tokens / result.seconds if result.seconds else None,
        label_tokens_per_second=result.label_tokens / result.seconds if result.seconds else None,
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
