"""The evaluation of a run on a node like those of its workers, where the driver's has no GPU."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import EvaluationError, TunesmithError
from tunesmith.evaluate.result import EvaluationReport, ReportContext
from tunesmith.train.job import TrainJob
from tunesmith.train.remote.terms import LinkLost

if TYPE_CHECKING:
    from tunesmith.train.preflight import Placement

TRIES = 3
"""How often Ray starts it again where a node is lost."""


def is_elsewhere(placement: Placement) -> bool:
    """Whether the workers of a joined cluster had GPUs, and this machine has none."""
    if not os.environ.get("RAY_ADDRESS") or not placement.gpus:
        return False
    from tunesmith.models.load import choose_device

    return bool(choose_device().type == "cpu")


def evaluate_elsewhere(
    job: TrainJob, placement: Placement, context: ReportContext, look: Callable[[], None] = lambda: None
) -> EvaluationReport:
    """Compare base, best prompt and tuned model where there is room for one worker; nothing is written.

    `look` is called every second. Waits for such a place as long as training does. Raises TunesmithError as the
    evaluation here does, EvaluationError when there is no place, or the node was lost too often.
    """
    import ray

    from tunesmith.train.ray_cluster import connected
    from tunesmith.train.remote.link import desk

    resources = job.load_recipe().resources
    with connected(placement.cpus, placement.gpus) as cluster, desk(cluster, job) as told:
        options: dict[str, Any] = {"num_cpus": placement.cpus, "num_gpus": placement.gpus, "max_retries": TRIES}
        if resources.accelerator is not None:
            options["accelerator_type"] = resources.accelerator
        if resources.labels:
            options["label_selector"] = resources.labels
        wait = resources.wait_minutes * 60
        with _explained():
            if not _done(ray, ray.remote(_nothing).options(**options).remote(), look, wait):
                raise EvaluationError(
                    f"no node had room for an evaluation within {resources.wait_minutes:g} minutes",
                    where="resources",
                    fix="add nodes, or raise resources.wait_minutes, and give the command again: training is kept",
                )
            task = ray.remote(there).options(**options).remote(job.to_json(), told, context)
            _done(ray, task, look)
            report: EvaluationReport = ray.get(task)
    return report


def _nothing() -> None:
    """Takes the place of one worker, to find out whether there is one."""


def _done(ray: Any, task: Any, look: Callable[[], None], seconds: float = math.inf) -> bool:
    """Wait for a task; returns False, and takes it back, when that took too long."""
    began = time.monotonic()
    while not ray.wait([task], timeout=1.0)[0]:
        look()
        if time.monotonic() - began > seconds:
            ray.cancel(task)
            return False
    return True


@contextmanager
def _explained() -> Iterator[None]:
    from ray.exceptions import RayError, RayTaskError

    again = "give the command again: training is kept"
    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, TunesmithError):
            raise error.cause from None
        if isinstance(error.cause, LinkLost | OSError):
            raise EvaluationError(
                f"the node could not evaluate: {error.cause}", where="resources", fix=again
            ) from error
        raise
    except RayError as error:
        what = f"the node that evaluates was lost ({type(error).__name__})"
        raise EvaluationError(what, where="resources", fix=again) from error


def there(values: dict[str, Any], told: dict[str, Any], context: ReportContext) -> EvaluationReport:
    """What runs on that node: with the driver's files where it sees them, else with what it fetches."""
    from tunesmith.data.dataset import open_dataset
    from tunesmith.evaluate.evaluate import evaluate
    from tunesmith.run.contestants import Models, machine
    from tunesmith.train.remote.desk import EXAMPLES
    from tunesmith.train.remote.fetch import fetched, node_folder, with_own_files
    from tunesmith.train.remote.link import RayLink, sees

    job = TrainJob(**values)
    with tempfile.TemporaryDirectory(prefix="tunesmith-evaluation-") as own:
        if not sees(job.folder, told["token"]):
            link = RayLink(told["name"])
            artefact, examples = (fetched(link, what, node_folder()) for what in (job.artefact.name, EXAMPLES))
            assert artefact is not None and examples is not None
            # The artefact lies in the run's folder, by its own name.
            (Path(own) / job.artefact.name).symlink_to(artefact)
            job = replace(with_own_files(job, link), run_folder=own, dataset_folder=str(examples))
        recipe = job.load_recipe()
        models = Models.load(job, recipe, Path(job.cache_folder))
        context = replace(context, machine=machine())
        return evaluate(
            models.tuned, _renderer(job, Path(own)), open_dataset(Path(job.dataset_folder)), recipe.evaluate, context,
            base=models.base,
        )  # fmt: skip


def _renderer(job: TrainJob, own: Path) -> Any:
    from tunesmith.data.render import Renderer
    from tunesmith.data.template import ChatTemplate
    from tunesmith.models.load import load_tokenizer, stop_token_ids

    recipe, folder = job.load_recipe(), Path(job.model_folder)
    section = recipe.model
    if job.chat_template is not None:
        template = own / "chat_template.jinja"
        template.write_text(job.chat_template, encoding="utf-8")
        section = section.model_copy(update={"chat_template": str(template)})
    tokenizer = load_tokenizer(folder, section, own)
    template_of = ChatTemplate(tokenizer, job.model_source, recipe.data.train_on)
    return Renderer(tokenizer, template_of, stop_token_ids(tokenizer, folder))
