"""What raters said of the versions of an experiment: shown beside its figures, and no part of its decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tunesmith.experiment.experiment import Experiment
    from tunesmith.report.page import Section
    from tunesmith.review.judged import Judged
    from tunesmith.store.database import Database

DECIDES_NOTHING = "does not decide the experiment"


def later_names(database: Database, name: str) -> dict[str, str]:
    """Sources that were judged before they were registered, and their versions since."""
    from tunesmith.monitor.retrain.called import registered_as
    from tunesmith.monitor.retrain.journal import Journal

    return registered_as(Journal(database).every(name))


def by_people(database: Database, experiment: Experiment) -> dict[str, Judged]:
    """Variant -> how its answers came out beside the control's, of those that people judged so. Says what is missing
    where its packages are."""
    from tunesmith.experiment.experiment import CONTROL
    from tunesmith.review.reviews import Reviews

    reviews, control = Reviews(database), experiment.variants[CONTROL].version
    if control is None or not reviews.names().get(experiment.name, (0, 0))[1]:
        return {}
    if any(find_spec(one) is None for one in ("numpy", "scipy")):
        click.echo('what people said is left out: it needs scipy (pip install "tunesmith[review]")', err=True)
        return {}
    from tunesmith.review.judged import judge

    items, ratings = reviews.all(experiment.name, later_names(database, experiment.name))
    found: dict[str, Judged] = {}
    for key in experiment.treatments:
        version = experiment.variants[key].version
        if version is not None and version != control:
            found[key] = judge(items, ratings, version, control)
    return {key: one for key, one in found.items() if one.preferences.items}


def lines(found: Mapping[str, Judged]) -> Iterator[str]:
    """For a terminal."""
    from tunesmith.report.legible import one_line

    for variant, one in found.items():
        came = one.preferences
        left_out = f"; without {one_line(', '.join(one.left_out), 200)}, too often wrong" if one.left_out else ""
        yield (
            f"{variant}: people preferred it on {came.wins} of {came.items} pairs, the control on {came.losses}, "
            f"neither on {came.ties} (a share of {one.share:.2f}, {came.confidence:.0%} interval {one.low:.2f} to "
            f"{one.high:.2f}{left_out}); that {DECIDES_NOTHING}"
        )


def sections(database: Database, experiment: Experiment) -> list[Section]:
    """The same as a part of a page; and below it all that people said of the name's answers."""
    from tunesmith.report.page import Facts, Paragraph, Section, Table
    from tunesmith.review.reviews import Reviews

    reviews = Reviews(database)
    rated = reviews.names().get(experiment.name, (0, 0))[1]
    made: list[Section] = []
    if found := by_people(database, experiment):
        heads = ("variant", "pairs", "won", "lost", "tied", "share", "lowest", "highest", "p")
        rows = tuple(
            (key, one.preferences.items, one.preferences.wins, one.preferences.losses, one.preferences.ties, one.share,
             one.low, one.high, one.preferences.p) for key, one in found.items()
        )  # fmt: skip
        told = "Raters saw answers of both to the same question and were not told whose they were. Their judgement"
        left_out = sorted({who for one in found.values() for who in one.left_out})
        made.append(
            Section("What people prefer", (
                Paragraph(f"{told} {DECIDES_NOTHING}."),
                Table(heads, rows, "Against the control. A tie is half a win; 95 % interval; p of the sign test."),
                *([Facts((("raters left out, too often wrong", ", ".join(left_out)),))] if left_out else []),
            ))
        )  # fmt: skip
    if rated and all(find_spec(one) is not None for one in ("choix", "scipy")):
        from tunesmith.review.report import judgement

        made.append(judgement(reviews.results(experiment.name, later_names(database, experiment.name))))
    return made
