"""`tunesmith train`: the adapter a recipe describes."""

from __future__ import annotations

from pathlib import Path

import click

from tunesmith.cli.options import need_training_packages, recipe_arguments, run_options
from tunesmith.cli.output import print_json


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@recipe_arguments
@run_options
@click.option("--explain", "explained", is_flag=True, help="Say what each worker would hold, and train nothing.")
def command(
    recipe: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    dry_run: bool,
    in_process: bool,
    explained: bool,
    yes: bool,
) -> None:
    """Train the adapter that RECIPE describes.

    Says first what the run is expected to hold, take and cost, and asks above `budget.confirm_above_usd`. The same
    recipe, data and model are the same run: giving the command again resumes it, or finds it finished. Ctrl-C writes a
    checkpoint and exits; a second Ctrl-C exits at once.

    \b
    Example:
      tunesmith train recipe.yaml --explain
      tunesmith train recipe.yaml --dry-run
      tunesmith train recipe.yaml --set train.learning_rate=1e-4
    """
    from dataclasses import asdict

    from rich.console import Console

    from tunesmith.recipe.load import load_recipe
    from tunesmith.store.home import find_home

    loaded = load_recipe(recipe, overrides)
    need_training_packages()
    from tunesmith.train import dry_run as ahead
    from tunesmith.train.run import plan_run, train

    console = Console(stderr=True)
    if explained:
        from tunesmith.cli.explain_table import explain_table

        made = ahead.explain_run(loaded, find_home())
        if as_json:
            print_json(made.to_json())
        else:
            Console().print(explain_table(made.to_json()))
        return
    if dry_run:
        print_json(ahead.dry_run(loaded, find_home(), console))
        return
    from tunesmith.cli.confirm import confirm, tell_compared
    from tunesmith.plan.ledger import Ledger
    from tunesmith.plan.money import usd
    from tunesmith.train.expected import compare

    home = find_home()
    planned = plan_run(loaded, home, console)
    confirm(planned, home, console, yes)
    result = train(planned, console, in_process)
    spent, compared = Ledger.read(planned.job.folder).usd, compare(planned.job.folder, result)
    if as_json:
        told = {**asdict(result), "cost_usd": float(spent), planned.job.artefact.name: str(planned.artefact)}
        print_json({**told, "planned_and_actual": [asdict(one) for one in compared]})
        return
    rate = result.tokens / result.seconds if result.seconds else 0.0
    loss = (
        f", validation loss {result.best_loss:.4f} at step {result.best_step}" if result.best_loss is not None else ""
    )
    took = f"{result.seconds / 60:.1f} minutes, {rate:.0f} tokens/s, {usd(spent)}"
    click.echo(f"{result.status} after {result.steps} steps, {took}{loss}")
    tell_compared(compared, Console())
    click.echo(f"{planned.artefact.name}: {planned.artefact}")
    click.echo(f"next: tunesmith evaluate {recipe}")
