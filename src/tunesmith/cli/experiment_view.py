"""`tunesmith experiment ls|status|report|history`: what experiments have shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tunesmith.cli.output import print_json

if TYPE_CHECKING:
    from tunesmith.experiment.book import Book
    from tunesmith.experiment.experiment import Experiment
    from tunesmith.registry.registry import Registry
    from tunesmith.store.database import Database

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command("ls")
@as_json
def list_(as_json: bool) -> None:
    """List experiments, newest first.

    \b
    Example:
      tunesmith experiment ls
    """
    from tunesmith.cli.registry import print_table
    from tunesmith.store.database import NoDatabase

    try:
        every = open_book()[1].every()
    except NoDatabase as nothing:
        every = []
        click.echo(f"no experiments: {nothing}", err=True)
    if as_json:
        print_json([{**one.model_dump(mode="json"), "started_at": began.isoformat()} for one, began, _ in every])
        return
    print_table(
        ("experiment", "stage", "weights", "started (UTC)", "verdict"),
        [
            (one.id, one.stage, shares_of(one), began.strftime("%Y-%m-%d %H:%M"), one.verdict or "")
            for one, began, _ in every
        ],
    )


@click.command()
@click.argument("experiment")
@as_json
def status(experiment: str, as_json: bool) -> None:
    """Show both sides of EXPERIMENT (its id, or a name's newest): users, intervals, guardrails, what to do.

    What raters of `tunesmith review` preferred stands below it, and decides nothing.

    \b
    Example:
      tunesmith experiment status summaries
    """
    from tunesmith.cli.experiment_people import by_people, lines
    from tunesmith.cli.experiment_table import show
    from tunesmith.experiment.referee import stand

    _, book, database = open_book()
    standing = stand(database, book.find(experiment))
    people = by_people(database, standing.experiment)
    if as_json:
        print_json({**standing.to_json(), "people": {key: one.to_json() for key, one in people.items()}})
        return
    show(standing, book.history(standing.experiment.id))
    for line in lines(people):
        click.echo(line)


@click.command()
@click.argument("experiment")
@click.option("--html", "path", type=click.Path(path_type=Path), required=True, help="The file to write.")
def report(experiment: str, path: Path) -> None:
    """Write EXPERIMENT as a page: the intervals as they went, guardrails, changes.

    \b
    Example:
      tunesmith experiment report summaries --html experiment.html
    """
    from importlib.util import find_spec

    from tunesmith.cli.experiment_people import sections
    from tunesmith.cli.output import check_output, write_output
    from tunesmith.errors import TunesmithError
    from tunesmith.experiment.referee import stand

    check_output(path)
    if find_spec("jinja2") is None:
        raise TunesmithError("pages need jinja2, which is not installed", fix="pip install jinja2")
    from tunesmith.experiment.report import experiment_page
    from tunesmith.experiment.timeline import timeline

    _, book, database = open_book()
    standing = stand(database, book.find(experiment))
    found = standing.experiment
    lines = {
        (variant, goal.name): timeline(database, found, goal.name, variant)
        for variant in found.treatments
        for goal in found.goals
    }
    write_output(path, experiment_page(standing, book.history(found.id), lines, sections(database, found)))
    click.echo(str(path))


@click.command()
@click.argument("experiment")
@as_json
def history(experiment: str, as_json: bool) -> None:
    """Show every change of EXPERIMENT, oldest first.

    \b
    Example:
      tunesmith experiment history summaries
    """
    from tunesmith.cli.registry import print_table

    _, book, _ = open_book()
    changes = book.history(book.find(experiment).id)
    if as_json:
        print_json(changes)
        return
    rows = [(one["at"][:19], one["who"], one["action"], one["stage"], one["why"]) for one in changes]
    print_table(("when (UTC)", "who", "what", "stage", "why"), rows)


def shares_of(experiment: Experiment) -> str:
    """The weights in words."""
    return ", ".join(f"{name} {weight:g} %" for name, weight in experiment.weights.items())


def open_book() -> tuple[Registry, Book, Database]:
    """Registry, experiments and database of the home at hand. Raises StoreError, and NoDatabase where there is none."""
    from tunesmith.experiment.book import Book
    from tunesmith.registry.registry import Registry
    from tunesmith.store.database import Database
    from tunesmith.store.home import find_home

    home = find_home()
    registry = Registry.open(home, create=False)
    database = Database.open(home.database_url)
    return registry, Book(database), database
