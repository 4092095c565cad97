"""An experiment as it stands, for people."""

from __future__ import annotations

from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunesmith.experiment.decision import Decision, Reading
    from tunesmith.experiment.referee import Standing

SECONDS_PER_DAY = 86_400


def show(standing: Standing, changes: list[dict[str, Any]], now: datetime | None = None) -> None:
    """Print it to standard output."""
    import click

    from tunesmith.cli.experiment_view import shares_of
    from tunesmith.cli.registry import print_table

    experiment = standing.experiment
    click.echo(f"{experiment.id}, stage {experiment.stage}: {shares_of(experiment)}")
    rows = [
        (name, reading.metric, *_numbers(reading))
        for name, one in standing.decisions.items()
        for reading in one.readings
    ]
    heads = ("variant", "metric", "users", "control's", "mean", "control's", "difference, holds at every look", "p")
    if rows:
        print_table(heads, rows)
    for name, rulings in standing.rulings.items():
        for ruling in rulings:
            if ruling.evidence["of"]:
                click.echo(f"{'✘' if ruling.broken else '✔'} {name}: {ruling.reason}")
    days = _days(changes, now or datetime.now(UTC))
    for name, decision in standing.decisions.items():
        click.echo(f"{name}: {decision.verdict}. {decision.reason}{_when(standing, decision, days)}")
    if experiment.verdict:
        click.echo(f"ended: {experiment.verdict}, {experiment.reason}")


def _numbers(reading: Reading) -> tuple[str, ...]:
    interval = "not known yet" if reading.low == -inf else f"[{reading.low:+.4g}, {reading.high:+.4g}]"
    return (
        f"{reading.users[0]:,}", f"{reading.users[1]:,}", f"{reading.means[0]:.4g}", f"{reading.means[1]:.4g}",
        f"{reading.estimate:+.4g} {interval}", f"{reading.p:.2g}",
    )  # fmt: skip


def _days(changes: list[dict[str, Any]], now: datetime) -> float:
    return (now - datetime.fromisoformat(changes[0]["at"])).total_seconds() / SECONDS_PER_DAY


def _when(standing: Standing, decision: Decision, days: float) -> str:
    """How long that takes, at the rate at which users came so far."""
    have = sum(sum(came.values()) for came in standing.evidence.users.values())
    rated = min((sum(reading.users) for reading in decision.readings), default=0)
    if decision.verdict != "inconclusive" or decision.users_needed is None or not have or not rated or days <= 0:
        return ""
    more = max(0, decision.users_needed - rated)
    return f" (about {more / (rated / days):.1f} days, as users come now)"
