"""`tunesmith monitor status|report`: what watching has found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tunesmith.cli.options import Days
from tunesmith.cli.output import print_json

if TYPE_CHECKING:
    from tunesmith.monitor.standing import Standing
    from tunesmith.store.database import Database
    from tunesmith.store.home import Home

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
days = click.option("--days", type=Days(), default=30.0, show_default=True, help="Look so far back.")


@click.command()
@click.argument("name")
@days
@as_json
def status(name: str, days: float, as_json: bool) -> None:
    """Show what each rule found last about NAME, and what fired lately.

    \b
    Example:
      tunesmith monitor status summaries --days 7
    """
    from datetime import UTC, datetime

    from tunesmith.monitor.findings import Findings
    from tunesmith.monitor.standing import stand

    _, database = _open()
    standing = stand(Findings(database), name, days, datetime.now(UTC))
    if as_json:
        print_json(standing.to_json())
        return
    _show(standing, days)


@click.command()
@click.argument("name")
@click.option("--html", "path", type=click.Path(path_type=Path), required=True, help="The file to write.")
@days
def report(name: str, path: Path, days: float) -> None:
    """Write a page about NAME: what changed and since when, with plots and examples of what is new.

    Examples are read from the traffic log, as far as it still has them, and are redacted as it is.

    \b
    Example:
      tunesmith monitor report summaries --html monitor.html
    """
    from datetime import UTC, datetime
    from importlib.util import find_spec

    from tunesmith.cli.output import check_output, write_output
    from tunesmith.errors import TunesmithError

    check_output(path)
    if find_spec("jinja2") is None:
        raise TunesmithError("pages need jinja2, which is not installed", fix="pip install jinja2")
    from tunesmith.monitor.examples import region_examples
    from tunesmith.monitor.findings import Findings
    from tunesmith.monitor.page import monitor_page
    from tunesmith.monitor.standing import stand

    home, database = _open()
    findings = Findings(database)
    standing = stand(findings, name, days, datetime.now(UTC))
    history = findings.since(name, standing.since)
    write_output(path, monitor_page(standing, history, region_examples(home, standing)))
    click.echo(str(path))


def _show(standing: Standing, days: float) -> None:
    from tunesmith.cli.registry import print_table
    from tunesmith.report.legible import one_line

    alarms = standing.alarms
    click.echo(f"{standing.version or standing.name}: {len(alarms)} alarms in the last {days:g} days")
    rows = []
    for rule, one in standing.latest.items():
        last = standing.last_fired(rule)
        rows.append((
            "✘" if one.fired else "▲" if last is not None else "✔", rule, f"{one.at:%Y-%m-%d %H:%M}",
            f"{last.at:%Y-%m-%d %H:%M}" if last is not None else "", one_line(one.reason, 200),
        ))  # fmt: skip
    print_table(("", "rule", "looked at (UTC)", "fired last (UTC)", "what was found"), rows)


def _open() -> tuple[Home, Database]:
    """Home and database at hand. Raises StoreError, and NoDatabase where there is none."""
    from tunesmith.store.database import Database
    from tunesmith.store.home import find_home

    home = find_home()
    return home, Database.open(home.database_url, create=False)
