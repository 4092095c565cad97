"""`tunesmith experiment`: variants of a name in real traffic, and what that shows."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tunesmith.cli.experiment_arguments import answers, goal_of, json_of, pair_of, prompt_of, steps_of, variant_of
from tunesmith.cli.experiment_view import as_json, history, list_, open_book, report, shares_of, status
from tunesmith.cli.output import print_json

if TYPE_CHECKING:
    from tunesmith.experiment.experiment import Experiment, Variant

why = click.option("--why", required=True, help="The reason, kept in the history.")
by = click.option("--by", "who", help="Who does it; the user of this machine if left out.")


@click.group(name="experiment")
def command() -> None:
    """Put variants of a name into real traffic, and let statistics that may be looked at every day decide.

    \b
    Example:
      tunesmith experiment start summaries --variant summaries@4 --stage canary --why "trained on corrected rows"
      tunesmith experiment status summaries
      tunesmith experiment promote summaries v4 --why "better, and nothing broke"
    """


@command.command()
@click.argument("name")
@click.option("--variant", "versions", multiple=True, metavar="[KEY=]NAME@N", help="A version to try; repeatable.")
@click.option("--prompt", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="A prompt of the base model to try: a JSON list of messages.")  # fmt: skip
@click.option("--control", help="What it is compared with.  [default: what NAME means now]")
@click.option("--stage", type=click.Choice(["shadow", "canary", "ab"]), default="canary", show_default=True,
              help="shadow: a copy nobody sees; canary: a few users; ab: even shares.")  # fmt: skip
@click.option("--steps", default="1,5,25,50", show_default=True, help="Canary steps, in per cent.")
@click.option("--step-hours", type=float, help="Hours after which a canary goes up a step by itself.")
@click.option("--goal", "goals", multiple=True, metavar="NAME[:lower][:MATTERS]",
              help="Feedback that decides; higher is better unless it says lower.  [default: thumb]")  # fmt: skip
@click.option("--json-schema", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Schema of a right answer: those that it refuses count as invalid.")  # fmt: skip
@click.option("--planned-users", type=click.IntRange(min=100), default=2000, show_default=True,
              help="Users, of both together, at which to be surest.")  # fmt: skip
@click.option("--auto", "decides_itself", is_flag=True, help="Promote by itself when the numbers say so.")
@why
@by
@as_json
def start(
    name: str,
    versions: tuple[str, ...],
    prompt: Path | None,
    control: str | None,
    stage: Any,
    steps: str,
    step_hours: float | None,
    goals: tuple[str, ...],
    json_schema: Path | None,
    planned_users: int,
    decides_itself: bool,
    why: str,
    who: str | None,
    as_json: bool,
) -> None:
    """Begin an experiment on NAME. Endpoints that run know it within two seconds.

    Guardrails take a variant out by themselves: errors, empty and truncated answers, slow ones, thumbs down.

    \b
    Example:
      tunesmith experiment start summaries --variant summaries@4 --goal thumb:0.02 --why "new rows"
    """
    from tunesmith.cli.registry import user
    from tunesmith.experiment.experiment import CONTROL

    registry, book, _ = open_book()
    variants: dict[str, Variant] = {CONTROL: variant_of(registry, control or answers(registry, name))[1]}
    for text in versions:
        key, variant = variant_of(registry, text)
        if key in variants:
            raise click.UsageError(f"two variants are called '{key}': name one with KEY={text}")
        variants[key] = variant
    if prompt is not None:
        variants["prompt"] = prompt_of(prompt)
    made = book.start(
        name, variants, stage, who or user(), why,
        steps=steps_of(steps), step_hours=step_hours, goals=tuple(goal_of(text) for text in goals or ("thumb",)),
        json_schema=json_of(json_schema) if json_schema else None, planned_users=planned_users,
        decides_itself=decides_itself,
    )  # fmt: skip
    _told(made, as_json)


@command.command()
@click.argument("experiment")
@click.argument("weights", nargs=-1, required=True, metavar="VARIANT=PER_CENT...")
@why
@by
@as_json
def weights(experiment: str, weights: tuple[str, ...], why: str, who: str | None, as_json: bool) -> None:
    """Change the shares of traffic; as few users as possible move.

    \b
    Example:
      tunesmith experiment weights summaries control=90 v4=10 --why "looks well"
    """
    from tunesmith.cli.registry import user

    shares = dict(pair_of(text) for text in weights)
    stage: Any = "canary" if min(shares.values(), default=0) < 50 else "ab"
    _, book, _ = open_book()
    made = book.change(experiment, lambda one: one.with_weights(shares, stage), who or user(), "weights", why)
    _told(made, as_json)


@command.command()
@click.argument("experiment")
@click.argument("variant")
@why
@by
@as_json
def promote(experiment: str, variant: str, why: str, who: str | None, as_json: bool) -> None:
    """End EXPERIMENT in favour of VARIANT: the champion moves to its version.

    \b
    Example:
      tunesmith experiment promote summaries v4 --why "better, and nothing broke"
    """
    from tunesmith.cli.registry import user
    from tunesmith.experiment.book import promoted
    from tunesmith.experiment.promote import move_champion

    registry, book, _ = open_book()
    found = book.find(experiment)
    made = partial(promoted, variant=variant, reason=why)
    made(found)
    if found.running:
        move_champion(registry, found, variant, who or user(), why)
    _told(book.change(found.id, made, who or user(), "promote", why), as_json)


@command.command()
@click.argument("experiment")
@why
@by
@as_json
def rollback(experiment: str, why: str, who: str | None, as_json: bool) -> None:
    """End EXPERIMENT: all traffic goes to the control.

    \b
    Example:
      tunesmith experiment rollback summaries --why "users complain"
    """
    from tunesmith.cli.registry import user
    from tunesmith.experiment.book import rolled_back

    _, book, _ = open_book()
    made = book.change(experiment, partial(rolled_back, reason=why), who or user(), "rollback", why)
    _told(made, as_json)


def _told(made: Experiment, as_json: bool) -> None:
    if as_json:
        print_json(made.model_dump(mode="json"))
        return
    verdict = f": {made.verdict}, {made.reason}" if made.verdict else ""
    click.echo(f"{made.id} is in stage {made.stage} ({shares_of(made)}){verdict}")


for view in (list_, status, report, history):
    command.add_command(view)
