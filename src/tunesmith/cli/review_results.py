"""`tunesmith review results`: agreement, strengths, means, and how far raters can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from tunesmith.cli.output import print_json

if TYPE_CHECKING:
    from tunesmith.review.results import Results

SHOWN = 200
"""Characters of a name that are shown."""


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def results(name: str, as_json: bool) -> None:
    """Show what people said of NAME's answers.

    \b
    Example:
      tunesmith review results summaries
    """
    from tunesmith.cli.experiment_people import later_names
    from tunesmith.cli.review import open_database
    from tunesmith.cli.review_packages import need
    from tunesmith.errors import DataError
    from tunesmith.report.legible import one_line
    from tunesmith.review.reviews import Reviews

    need(("numpy", "scipy", "choix"), "this")
    database = open_database(create=False)
    reviews = Reviews(database)
    if name not in (known := reviews.names()):
        from tunesmith.errors import did_you_mean

        fix = did_you_mean(name, known) if known else "put some there: tunesmith review add"
        raise DataError(f"{name[:80]!a} has no items", where="name", fix=fix)
    found = reviews.results(name, later_names(database, name))
    if as_json:
        print_json(found.to_json())
        return
    _show(found)
    if found.trusted is not None:
        flagged = ", ".join(one_line(rater, SHOWN) for rater in found.flagged)
        click.echo(f"\nwithout {flagged}, who were wrong too often where the answer is known:")
        _show(found.trusted)


def _show(found: Results) -> None:
    from tunesmith.cli.registry import print_table

    click.echo(
        f"{found.name}: {found.judged:,} of {found.items:,} items judged, {found.ratings:,} ratings"
        f" ({found.unsure:,} could not say), {found.corrections:,} corrected answers"
    )
    _table(
        print_table, ("agreement on", "alpha", "95 %", "items", "ratings"),
        [
            (name, _number(one.value), _interval(one.low, one.high), str(one.items), str(one.ratings))
            for name, one in found.agreement.items()
        ],
    )  # fmt: skip
    _table(
        print_table, ("better", "than", "won", "lost", "tied", "of those decided", "95 %", "p"),
        [
            (one.candidate, one.baseline, str(one.wins), str(one.losses), str(one.ties),
             "-" if one.win_rate is None else f"{one.win_rate:.0%}", _interval(one.low, one.high), _number(one.p))
            for one in found.preferences
        ],
    )  # fmt: skip
    _table(
        print_table, ("source", "strength", "95 %", "comparisons"),
        [
            (one.source, f"{one.strength:+.2f}", _interval(one.low, one.high), str(one.comparisons))
            for one in found.strengths
        ],
    )  # fmt: skip
    _table(
        print_table, ("source", "scale", "mean", "95 %", "items", "ratings"),
        [
            (one.source, one.scale, f"{one.mean:.2f}", _interval(one.low, one.high), str(one.items), str(one.ratings))
            for one in found.means
        ],
    )  # fmt: skip
    _table(
        print_table, ("rater", "ratings", "known items right", "95 %", "left chosen", "median time", ""),
        [
            (one.rater, str(one.ratings), f"{one.right} of {one.gold}" if one.gold else "-",
             _interval(one.low, one.high), "-" if one.left_share is None else f"{one.left_share:.0%}",
             "-" if one.median_seconds is None else f"{one.median_seconds:.0f} s", "flagged" if one.flagged else "")
            for one in found.raters
        ],
    )  # fmt: skip


def _table(print_table: object, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from tunesmith.report.legible import one_line

    if rows:
        click.echo()
        # Sources and raters come from files of anybody: they must not steer the terminal.
        print_table(heads, [[one_line(cell, SHOWN) for cell in row] for row in rows])  # type: ignore[operator]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _interval(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:.2f} to {high:.2f}"
