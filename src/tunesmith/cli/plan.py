"""`tunesmith plan`: what fits, how long it takes, what it costs; before anything is spent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tunesmith.cli.options import need_training_packages, recipe_arguments
from tunesmith.cli.output import print_json

if TYPE_CHECKING:
    from tunesmith.plan.money import Market
    from tunesmith.plan.plan import Plan


def _hours(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    from tunesmith.recipe.train import duration, seconds_of

    if value is None:
        return None
    try:
        return seconds_of(duration(value)) / 3600
    except ValueError as error:
        raise click.BadParameter("; ".join(map(str, error.args))) from None


@click.command(name="plan", context_settings={"help_option_names": ["-h", "--help"]})
@recipe_arguments
@click.option("--machine", "machines", multiple=True, metavar="KEY", help="Only these machines; repeatable.")
@click.option("--market", type=click.Choice(["on-demand", "spot", "owned"]), help="Only prices of this market.")
@click.option("--by", type=click.Choice(["usd", "hours"]), default="usd", help="Rank by dollars (default) or by hours.")
@click.option("--deadline", callback=_hours, metavar="TIME", help="Only what is done by then: 90m, 6h.")
@click.option("--examples", type=click.IntRange(min=1), help="How many rows there are, where they are not here.")
@click.option("--tokens-per-example", type=click.FloatRange(min=1), help="Their mean length in tokens.")
@click.option("--live", is_flag=True, help="Ask clouds for prices of today (pip install 'tunesmith[prices]').")
@click.option("--hardware", type=click.Path(path_type=Path), help="Your hardware file: own machines, own prices.")
@click.option("--calibrate", is_flag=True, help="First measure how fast this machine is, in some real steps.")
@click.option("--refused", is_flag=True, help="List what does not fit, and why.")
@click.option("--top", type=click.IntRange(min=1, max=20), default=8, help="How many alternatives to list (8).")
def command(
    recipe: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    machines: tuple[str, ...],
    market: Market | None,
    by: str,
    deadline: float | None,
    examples: int | None,
    tokens_per_example: float | None,
    live: bool,
    hardware: Path | None,
    calibrate: bool,
    refused: bool,
    top: int,
) -> None:
    """Say what RECIPE takes as it stands, and what else would do: memory, hours and dollars.

    Nothing is downloaded but a config.json, nothing is prepared, and neither torch nor ray is needed. Exits 2 when
    nothing fits, with the cheapest ways to make it fit.

    \b
    Example:
      tunesmith plan recipe.yaml
      tunesmith plan recipe.yaml --machine aws:g5.xlarge --market spot
      tunesmith plan recipe.yaml --by hours --deadline 6h --json
    """
    from tunesmith.plan.catalog import load_catalog
    from tunesmith.plan.plan import plan_recipe
    from tunesmith.recipe.load import load_recipe
    from tunesmith.store.home import find_home

    loaded = load_recipe(recipe, overrides)
    home = find_home()
    if calibrate:
        _calibrate(loaded, home)
    plan = plan_recipe(
        loaded, home, load_catalog(hardware, live), machines, market, by, deadline, examples, tokens_per_example
    )
    if as_json:
        print_json(plan.to_json())
    else:
        _print(plan, top, refused)
    if not plan.ranked:
        raise _nothing_fits(plan)


def _calibrate(loaded: Any, home: Any) -> None:
    need_training_packages()
    from rich.console import Console

    from tunesmith.run.calibrate import calibrate

    calibrate(loaded, home, Console(stderr=True))


def _print(plan: Plan, top: int, refused: bool) -> None:
    from rich.console import Console

    from tunesmith.cli.plan_table import plan_tables

    console = Console(highlight=False, markup=False, emoji=False)
    for part in plan_tables(plan, top, refused):
        console.print(part, soft_wrap=isinstance(part, str))


def _nothing_fits(plan: Plan) -> Exception:
    from tunesmith.cli.plan_table import remedy_lines
    from tunesmith.errors import PlanError

    ways = remedy_lines(plan)
    return PlanError(
        f"{plan.written.settings.method} fits on none of these machines",
        where=plan.name,
        fix="; or ".join(ways) if ways else "give a smaller model, or machines with more memory",
    )
