"""The evaluation of a run on a node like those of its workers, where the driver's has no GPU."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.evaluate.result import EvaluationReport, ReportContext
from tunesmith.train.job import TrainJob

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


def evaluate_elsewhere(job: TrainJob, placement: Placement, context: ReportContext) -> EvaluationReport:
    """Compare base, best prompt and tuned model where there is room for one worker; nothing is written.

    Waits for such a place. Raises TunesmithError as the evaluation here does.
    """
    import ray
    from ray.exceptions import RayTaskError

    from tunesmith.train.ray_cluster import connected
    from tunesmith.train.remote.link import desk

    resources = job.load_recipe().resources
    with connected(placement.cpus, placement.gpus) as cluster, desk(cluster, job) as told:
        options: dict[str, Any] = {"num_cpus": placement.cpus, "num_gpus": placement.gpus, "max_retries": TRIES}
        if resources.accelerator is not None:
            options["accelerator_type"] = resources.accelerator
        if resources.labels:
            options["label_selector"] = resources.labels
        try:
            report: EvaluationReport = ray.get(
                ray.remote(there).options(**options).remote(job.to_json(), told, context)
            )
        except RayTaskError as error:
            raise error.cause from None
    return report


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
