"""Say before a run what it is expected to hold, take and cost; ask where that is much, refuse what cannot be."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from tunesmith.cli.explain_table import size
from tunesmith.cli.plan_table import hours
from tunesmith.plan.money import usd

if TYPE_CHECKING:
    from rich.console import Console

    from tunesmith.store.home import Home
    from tunesmith.train.expected import Compared
    from tunesmith.train.run import Planned


def confirm(planned: Planned, home: Home, console: Console, yes: bool) -> None:
    """Show the plan of a run and keep it in the run's folder; `yes` only tells of what else would stop it.

    Raises PlanError for what is refused, and for what nobody is there to be asked about.
    """
    from tunesmith.errors import PlanError
    from tunesmith.plan.ledger import Ledger
    from tunesmith.train.expected import concerns, expect, keep
    from tunesmith.train.job import read_result

    if read_result(planned.job.folder) is not None:
        return
    expected = expect(planned, home)
    if expected is None:
        _say(console, "plan: not known for this model or these machines (`tunesmith plan` says more)")
        return
    memory = f"{size(expected.peak_bytes)} a worker ({expected.verdict})"
    _say(console, f"plan: {memory}, {hours(expected.seconds)}, {usd(expected.usd)} on {expected.machine}")
    for concern in concerns(expected, planned.recipe.budget, Ledger.read(planned.job.folder)):
        if yes:
            _say(console, f"warning: {concern.what}")
        elif concern.refused:
            raise PlanError(concern.what, where=concern.where, fix=f"{concern.fix}; --yes starts it all the same")
        elif sys.stdin.isatty() and console.is_terminal:
            click.confirm(f"{concern.what}. Go on?", abort=True, err=True)
        else:
            raise PlanError(concern.what, where=concern.where, fix=f"{concern.fix} with --yes")
    keep(expected, planned.job.folder)


def tell_compared(compared: list[Compared], console: Console) -> None:
    """What was expected beside what came."""
    for one in compared:
        off = f" ({one.actual / one.expected - 1:+.0%})" if one.expected else ""
        name = "cost" if one.unit == "$" else one.name.replace("_", " ")
        expected, actual = (_amount(value, one.unit) for value in (one.expected, one.actual))
        _say(console, f"{name}: planned {expected}, actual {actual}{off}")


def _amount(value: float, unit: str) -> str:
    return usd(Decimal(str(value))) if unit == "$" else f"{value:.3g} {unit}"


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
