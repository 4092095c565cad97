"""`tunesmith review`: people judge answers, blind, and what they say becomes figures and examples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tunesmith.cli.options import Days
from tunesmith.cli.output import print_json
from tunesmith.cli.review_files import export, import_
from tunesmith.cli.review_results import results
from tunesmith.cli.review_serve import serve

if TYPE_CHECKING:
    from tunesmith.review.reviews import Reviews
    from tunesmith.store.database import Database

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(name="review")
def command() -> None:
    """Put answers before people, on a page of their own, and read what they said.

    \b
    Example:
      tunesmith review add summaries --from report.json
      tunesmith keys create ann --scope review
      tunesmith review serve
      tunesmith review results summaries
    """


@command.command()
@click.argument("name")
@click.option("--from", "report", type=click.Path(path_type=Path), help="Pairs from an evaluation's report.json.")
@click.option(
    "--against", default="best_prompt", show_default=True,
    help="With --from: best_prompt, base, or the name of a contestant, to stand beside the tuned model.",
)  # fmt: skip
@click.option("--from-traffic", is_flag=True, help="Pairs of live and shadow answers to the same request.")
@click.option("--days", type=Days(), default=7.0, show_default=True,
              help="With --from-traffic: how far back.")  # fmt: skip
@click.option("--most", type=click.IntRange(min=1), help="Add so many at most, drawn at random.")
@click.option("--rubric", "rubric_file", type=click.Path(path_type=Path), help="Judge NAME by this YAML file.")
@as_json
def add(
    name: str,
    report: Path | None,
    against: str,
    from_traffic: bool,
    days: float,
    most: int | None,
    rubric_file: Path | None,
    as_json: bool,
) -> None:
    """Put pairs of answers of NAME before people; the same pair is never added twice.

    \b
    Example:
      tunesmith review add summaries --from report.json --most 50
      tunesmith review add summaries --from-traffic --rubric rubric.yaml
    """
    from tunesmith.cli.review_sources import from_report, from_traffic_log, thinned
    from tunesmith.review.rubric import read_rubric

    if not (report or from_traffic or rubric_file):
        raise click.UsageError("say what to add: --from report.json, --from-traffic, or --rubric rubric.yaml")
    rubric = read_rubric(rubric_file) if rubric_file else None
    items = from_report(name, report, against) if report else []
    items += from_traffic_log(name, days) if from_traffic else []
    items = thinned(items, most)
    reviews = open_reviews(create=True)
    before = reviews.names().get(name, (0, 0))[0]
    reviews.add(items)
    if rubric is not None:
        reviews.set_rubric(name, rubric)
    after = reviews.names().get(name, (0, 0))[0]
    if as_json:
        print_json({"name": name, "found": len(items), "added": after - before, "items": after})
        return
    known = len(items) - (after - before)
    click.echo(f"{after - before} added to {name}" + (f", {known} were there already" if known else ""))


@command.command("ls")
@as_json
def list_(as_json: bool) -> None:
    """List names with items and how many were rated.

    \b
    Example:
      tunesmith review ls
    """
    from tunesmith.cli.registry import print_table
    from tunesmith.store.database import NoDatabase

    try:
        names = open_reviews(create=False).names()
    except NoDatabase as nothing:
        names = {}
        click.echo(f"nothing to review: {nothing}", err=True)
    if as_json:
        print_json([{"name": name, "items": items, "ratings": rated} for name, (items, rated) in names.items()])
        return
    rows: list[Any] = [(name, f"{items:,}", f"{rated:,}") for name, (items, rated) in names.items()]
    print_table(("name", "items", "ratings"), rows)


def open_reviews(create: bool) -> Reviews:
    """Items and ratings of the home at hand. Raises NoDatabase where there is none and none is to be made."""
    from tunesmith.review.reviews import Reviews

    return Reviews(open_database(create))


def open_database(create: bool) -> Database:
    """The database of the home at hand. Raises NoDatabase as above."""
    from tunesmith.store.database import Database
    from tunesmith.store.home import find_home

    return Database.open(find_home().database_url, create=create)


for verb in (serve, results, import_, export):
    command.add_command(verb)
