"""`tunesmith run`: the whole way from rows to a registered version."""

from __future__ import annotations

from pathlib import Path

import click

from tunesmith.cli.options import need_training_packages, recipe_arguments, run_options
from tunesmith.cli.output import print_json


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@recipe_arguments
@run_options
def command(
    recipe: Path, overrides: tuple[str, ...], as_json: bool, dry_run: bool, in_process: bool, yes: bool
) -> None:
    """Audit, prepare, train, evaluate and register what RECIPE describes.

    Each step that was done before is skipped, so the command can be given again after a stop or a change. Exits 1 when
    the tuned model is not better than the best prompt; the version is then registered as failed.

    \b
    Example:
      tunesmith run jobs/quickstart.yaml
      tunesmith run recipe.yaml --set train.epochs=2 --json
    """
    from rich.console import Console

    from tunesmith.errors import GateFailed
    from tunesmith.recipe.load import load_recipe
    from tunesmith.store.home import find_home

    loaded = load_recipe(recipe, overrides)
    need_training_packages()
    from tunesmith.cli.confirm import confirm, tell_compared
    from tunesmith.evaluate.render import render_terminal
    from tunesmith.run.pipeline import run_recipe
    from tunesmith.train import dry_run as ahead

    console, home = Console(stderr=True), find_home()
    if dry_run:
        print_json(ahead.dry_run(loaded, home, console))
        return
    outcome = run_recipe(loaded, home, console, in_process, lambda planned: confirm(planned, home, console, yes))
    if as_json:
        print_json(outcome.to_json())
    else:
        Console().print(render_terminal(outcome.report))
        click.echo(f"report: {outcome.folder / 'report.html'}")
        tell_compared(list(outcome.compared), Console())
        click.echo(f"this took {outcome.seconds / 60:.1f} minutes")
    if outcome.version.verdict == "failed":
        raise GateFailed("; ".join(verdict.reason for verdict in outcome.report.verdicts if not verdict.passed))
