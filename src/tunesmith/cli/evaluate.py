"""`tunesmith evaluate`: base model, best prompt and tuned model on the same held-out rows."""

from __future__ import annotations

from pathlib import Path

import click

from tunesmith.cli.options import need_training_packages, recipe_arguments
from tunesmith.cli.output import answer


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@recipe_arguments
def command(recipe: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Evaluate the trained run of RECIPE against the base model and the best prompt.

    Nothing is registered; `tunesmith run` does that. Exits 1 when a gate says no.

    \b
    Example:
      tunesmith evaluate recipe.yaml --set evaluate.max_test_rows=100
    """
    from rich.console import Console

    from tunesmith.errors import EvaluationError, GateFailed
    from tunesmith.recipe.load import load_recipe
    from tunesmith.store.home import find_home

    loaded = load_recipe(recipe, overrides)
    need_training_packages()
    from tunesmith.evaluate.render import render_terminal
    from tunesmith.run.evaluation import evaluate_run
    from tunesmith.train.job import read_result
    from tunesmith.train.run import plan_run

    console = Console(stderr=True)
    home = find_home()
    planned = plan_run(loaded, home, console)
    result = read_result(planned.job.folder)
    if result is None:
        raise EvaluationError(
            "this recipe has no finished run yet", where=str(recipe), fix=f"run `tunesmith train {recipe}` first"
        )
    report, folder = evaluate_run(planned, result, home, console)
    if as_json:
        answer(report.to_json().decode())
    else:
        Console().print(render_terminal(report))
        click.echo(f"report: {folder / 'report.html'}")
    if not report.passed:
        raise GateFailed("; ".join(verdict.reason for verdict in report.verdicts if not verdict.passed))
