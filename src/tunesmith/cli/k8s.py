"""`tunesmith k8s`: a recipe as what Kubernetes runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click


def _pairs(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    split = [value.partition("=") for value in values]
    if wrong := [key for key, mark, _ in split if not mark or not key]:
        raise click.BadParameter(f"'{wrong[0]}' is not KEY=VALUE")
    return {key: value for key, _, value in split}


@click.group(name="k8s", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Recipes on Kubernetes, where KubeRay runs.

    \b
    Example:
      tunesmith k8s render recipe.yaml --image registry.example.com/tunesmith:gpu | kubectl apply -f -
    """


@command.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe; repeatable."
)
@click.option(
    "--verb",
    type=click.Choice(["run", "train", "sweep", "evaluate", "retrain"]),
    default="run",
    help="What is run (run).",
)
@click.option("--image", required=True, help="The container image, with this version of Tunesmith and its Ray.")
@click.option("--namespace", help="Namespace of everything; by default, that of kubectl.")
@click.option("--queue", metavar="NAME", help="Kueue's queue that the job waits in.")
@click.option("--schedule", metavar="CRON", help="Write a RayCronJob that starts it then: '0 3 * * *'.")
@click.option("--storage", metavar="URL", help="Bucket for artefacts and checkpoints: s3://bucket/folder.")
@click.option("--secret", metavar="NAME", help="Secret whose keys become environment variables of the pods.")
@click.option("--claim", default="tunesmith-home", help="Claim of the volume with the home folder (tunesmith-home).")
@click.option(
    "--node-selector", multiple=True, callback=_pairs, metavar="KEY=VALUE",
    help="Labels of the workers' nodes, in place of the machine's own; repeatable.",
)  # fmt: skip
@click.option("--examples", type=click.IntRange(min=1), help="How many rows there are, where they are not here.")
@click.option("--tokens-per-example", type=click.FloatRange(min=1), help="Their mean length in tokens.")
@click.option("--hardware", type=click.Path(path_type=Path), help="Your hardware file: own machines, own prices.")
def render(
    recipe: Path,
    overrides: tuple[str, ...],
    verb: Literal["run", "train", "sweep", "evaluate", "retrain"],
    hardware: Path | None,
    examples: int | None,
    tokens_per_example: float | None,
    namespace: str | None,
    queue: str | None,
    schedule: str | None,
    storage: str | None,
    **wishes: Any,
) -> None:
    """Write the RayJob of RECIPE and its planned layout to standard output, as YAML.

    Rows must be at a URL or on the cluster's volume; small files beside the recipe travel with it.

    \b
    Example:
      tunesmith k8s render recipe.yaml --image registry.example.com/tunesmith:gpu --secret tunesmith \\
        --storage s3://bucket/tunesmith --set resources.machine=aws:g5.2xlarge | kubectl apply -f -
    """
    from tunesmith.cluster.kubernetes.files import check_model
    from tunesmith.cluster.kubernetes.layout import lay_out
    from tunesmith.cluster.kubernetes.pods import Wishes
    from tunesmith.cluster.kubernetes.render import render as made
    from tunesmith.plan.catalog import load_catalog
    from tunesmith.recipe.load import load_recipe
    from tunesmith.store.home import find_home

    loaded = load_recipe(recipe, overrides)
    check_model(loaded)
    layout = lay_out(loaded, find_home(), load_catalog(hardware), verb, examples, tokens_per_example)
    wished = Wishes(storage=storage.rstrip("/") if storage else None, **wishes)
    manifest = made(loaded, layout, verb, wished, namespace, queue, schedule)
    click.echo(manifest.to_yaml(), nl=False)
