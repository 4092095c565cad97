"""A sweep as a page: the front of loss against dollars, how the losses fell, every trial."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from tunesmith.plan.money import usd
from tunesmith.report.page import Chart, Command, Facts, Section, Table, render_page
from tunesmith.report.scatter import Point, scatter
from tunesmith.report.svg import line_chart
from tunesmith.store.durable import write_whole
from tunesmith.sweep.front import front_of, knee_of
from tunesmith.sweep.record import Trial
from tunesmith.sweep.show import WORDS, shown

PAGE = "sweep.html"

MOST_LINES = 24
"""More curves than this on one chart are not told apart: the best are drawn."""


def write_page(
    folder: Path, name: str, trials: Sequence[Trial], winner: Trial, spent: Decimal, budget: Decimal
) -> Path:
    """Write the page into the sweep's folder; returns its path."""
    front = front_of(trials)
    knee = knee_of(front)
    reported = sorted((trial for trial in trials if trial.best), key=_loss)
    points = [Point(trial.name, float(trial.best.usd), trial.best.loss) for trial in reported if trial.best]
    curves = {
        trial.name: [(float(report.usd), report.loss) for report in trial.reports] for trial in reported[:MOST_LINES]
    }
    sections = [
        Section("What came of it", (
            Facts((
                ("best", winner.name), ("validation loss", _loss(winner)), ("its training", usd(winner.usd)),
                ("trials", len(trials)), ("spent", f"{usd(spent)} of {usd(budget)}"),
            )),
            Command("\n".join(f"{setting}: {value}" for setting, value in winner.config.items())),
        )),
        Section("Loss against dollars", (
            Chart(
                scatter(points, "US dollars of training until the best checkpoint", "validation loss",
                        front=[trial.name for trial in front], marked=knee.name if knee else None),
                "Filled and joined: no other trial was as good for as little. " + _about(knee),
            ),
            Chart(line_chart(curves, "US dollars of the trial", "validation loss"), _drawn(len(reported))),
        )),
        Section("Trials", (_table(reported, trials, front, knee, winner),)),
    ]  # fmt: skip
    path = folder / PAGE
    write_whole(path, render_page(f"Sweep of {name}", sections).encode())
    return path


def _table(
    reported: Sequence[Trial], trials: Sequence[Trial], front: Sequence[Trial], knee: Trial | None, winner: Trial
) -> Table:
    ordered = [*reported, *(trial for trial in trials if trial.best is None)]
    rows = tuple(
        (
            trial.name,
            trial.best.loss if trial.best else None,
            f"{trial.reports[-1].share:.0%}" if trial.reports else "0%",
            usd(trial.usd),
            "knee" if trial is knee else "front" if trial in front else "",
            WORDS[trial.status] + (f": {trial.problem}" if trial.problem else ""),
            shown(trial),
        )
        for trial in ordered
    )
    columns = ("trial", "validation loss", "trained", "cost", "", "end", "settings")
    return Table(columns, rows, highlight=ordered.index(winner))


def _about(knee: Trial | None) -> str:
    return f"Ringed: {knee.name}, the knee. Past it a dollar gains less." if knee else "The front has no knee."


def _drawn(count: int) -> str:
    return f"The best {MOST_LINES} of {count} trials." if count > MOST_LINES else ""


def _loss(trial: Trial) -> float:
    return trial.best.loss if trial.best else float("inf")
