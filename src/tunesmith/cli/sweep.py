"""`tunesmith sweep`: many trials of one recipe under one budget."""

from __future__ import annotations

import os
from decimal import Decimal, InvalidOperation
from pathlib import Path

import click

from tunesmith.cli.options import need_training_packages, recipe_arguments
from tunesmith.cli.output import print_json


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@recipe_arguments
@click.option("--usd-per-hour", metavar="PRICE", help="What this machine costs; by default, what the recipe says.")
@click.option("--no-register", is_flag=True, help="Stop when the winner is known, without evaluating it.")
def command(
    recipe: Path, overrides: tuple[str, ...], as_json: bool, usd_per_hour: str | None, no_register: bool
) -> None:
    """Try the settings of RECIPE's `sweep` section within its `max_usd`; evaluate and register the best.

    Given again after a stop, it goes on: trials that have ended are not repeated, others go on from their last
    checkpoint. Exits 1 when the tuned model is not better than the best prompt.

    \b
    Example:
      tunesmith sweep recipe.yaml
      tunesmith sweep recipe.yaml --set sweep.max_usd=0.50 --usd-per-hour 1.006 --json
    """
    from rich.console import Console

    from tunesmith.errors import GateFailed
    from tunesmith.plan.money import usd
    from tunesmith.recipe.load import load_recipe
    from tunesmith.store.home import find_home

    loaded = load_recipe(recipe, overrides)
    price = _price(usd_per_hour)
    need_training_packages()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the searcher's small matrices: threads would slow the trials
    from tunesmith.sweep.engine import run_sweep

    done = run_sweep(loaded, find_home(), Console(stderr=True), price, register=not no_register)
    if as_json:
        print_json(done.to_json())
    else:
        click.echo(f"best: {done.winner.name}, its recipe: {done.recipe_file}")
        click.echo(f"loss against dollars: {done.page}")
        click.echo(f"{len(done.trials)} trials cost {usd(done.spent)} of {usd(done.budget)}")
        if done.outcome:
            click.echo(f"registered: {done.outcome.version.reference} ({done.outcome.version.verdict})")
    if done.outcome and done.outcome.version.verdict == "failed":
        raise GateFailed("; ".join(done.outcome.version.reasons))


def _price(given: str | None) -> Decimal | None:
    if given is None:
        return None
    try:
        price = Decimal(given)
    except InvalidOperation:
        price = Decimal(-1)
    if not price.is_finite() or price < 0:
        raise click.BadParameter(f"'{given}' is no price in US dollars", param_hint="--usd-per-hour")
    return price
