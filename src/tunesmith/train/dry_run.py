"""What `--dry-run` says: everything that can be known of a run, also of one that this machine could never do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunesmith.data.dataset import Dataset
from tunesmith.errors import ModelNotHere, TunesmithError
from tunesmith.plan import rules
from tunesmith.train import refuse
from tunesmith.train.batches import plan_batches
from tunesmith.train.explain.explanation import Explanation, explain
from tunesmith.train.explain.find import Shapes, find_shapes
from tunesmith.train.explain.setting import on_gpus
from tunesmith.train.ingredients import ingredients
from tunesmith.train.preflight import check_writable, place
from tunesmith.train.run import plan_run, prepare_rows

if TYPE_CHECKING:
    from rich.console import Console

    from tunesmith.recipe.load import LoadedRecipe
    from tunesmith.store.home import Home


def explain_run(loaded: LoadedRecipe, home: Home) -> Explanation:
    """What each worker would hold, by the model's config alone: nothing is fetched but that, nothing prepared.

    Raises RecipeError for what the strategy cannot do, ModelError when the model's shapes cannot be had.
    """
    _check(loaded)
    shapes = find_shapes(loaded, home)
    return explain(loaded.recipe, shapes.config, shapes.origin)


def dry_run(loaded: LoadedRecipe, home: Home, console: Console) -> dict[str, Any]:
    """Check the run and lay its model out without weights; prepare its data where tokenizer and rows are here.

    A model that lies on this machine is planned as `train` would, and what would stop it raises. One that does not is
    meant for another machine: `weights_here` is false, and `not_checked` says in sentences what could not be done here.
    """
    _check(loaded)
    shapes = find_shapes(loaded, home)
    if shapes.complete:
        planned = plan_run(loaded, home, console)
        made = explain(loaded.recipe, shapes.config, shapes.origin, _label_share(planned.dataset))
        return {**planned.to_json(), "weights_here": True, "not_checked": [], **made.to_json()}
    plan: dict[str, Any] = {"run_id": None, "model": {"source": loaded.recipe.model.source, "folder": None}}
    dataset, not_checked = _prepared(loaded, home, console, shapes)
    if shapes.model is not None:
        plan["model"] = shapes.model.to_json()
    plan |= {"dataset_version": None, "total_steps": None}
    if dataset is not None:
        rows = dataset.rows("train")
        plan |= {
            "dataset_version": dataset.version,
            "dataset_folder": str(dataset.folder),
            "parts": {part: dataset.counts(part) for part in ("train", "validation", "test")},
            "total_steps": plan_batches(rows.num_tokens, loaded.recipe.train).total_steps,
        }
    try:
        place(loaded.recipe)
    except TunesmithError as error:
        not_checked.append(f"this machine cannot run it: {error.what}")
    for line in not_checked:
        console.print(f"not checked: {line}", markup=False, highlight=False, soft_wrap=True)
    share = 1.0 if dataset is None else _label_share(dataset)
    made = explain(loaded.recipe, shapes.config, shapes.origin, share)
    return {**plan, "weights_here": False, "not_checked": not_checked, **made.to_json()}


def _check(loaded: LoadedRecipe) -> None:
    refuse.placement(loaded.recipe.resources)
    rules.pairs(loaded.recipe)
    refuse.activation_offload(loaded.recipe, int(on_gpus(loaded.recipe)))


def _prepared(loaded: LoadedRecipe, home: Home, console: Console, shapes: Shapes) -> tuple[Dataset | None, list[str]]:
    """The dataset version, or None and why there is none."""
    if shapes.model is None:
        reason = shapes.missing.what if shapes.missing is not None else ""
        return None, [f"weights and tokenizer are not here, so the data is not prepared: {reason}"]
    missing = ["the weights are not here: nothing but shapes is known of them"]
    check_writable(home)
    try:
        found = ingredients(loaded, home, weights=False)
        dataset = prepare_rows(found, home, console)
        train_rows, validation_rows = dataset.rows("train"), dataset.rows("validation")
        refuse.ignored_settings(loaded.recipe, len(validation_rows))
        refuse.rows(train_rows, validation_rows, dataset.folder)
    except ModelNotHere as error:
        return None, [*missing, f"the data is not prepared: {error.what}"]
    return dataset, missing


def _label_share(dataset: Dataset) -> float:
    """The share of the training tokens that is learnt."""
    rows = dataset.rows("train")
    return float(rows.num_labels.sum()) / max(1.0, float(rows.num_tokens.sum()))
