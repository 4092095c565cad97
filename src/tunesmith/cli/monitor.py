"""`tunesmith monitor`: what is asked and answered, watched."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tunesmith.cli.monitor_view import report, status
from tunesmith.cli.options import need_training_packages, recipe_arguments
from tunesmith.cli.output import answer, print_json

if TYPE_CHECKING:
    from tunesmith.monitor.findings import Finding


@click.group(name="monitor")
def command() -> None:
    """Watch a served name: whether what is asked has changed, whether answers got worse, how the endpoint does.

    \b
    Example:
      tunesmith monitor watch recipe.yaml
      tunesmith monitor status summaries
      tunesmith monitor report summaries --html monitor.html
    """


@command.command()
@recipe_arguments
@click.option("--once", is_flag=True, help="Look once and leave.")
def watch(recipe: Path, overrides: tuple[str, ...], as_json: bool, once: bool) -> None:
    """Look at the traffic of RECIPE's name every `monitor.every_minutes`, until it is stopped.

    What every rule found is written down, fired or not; alarms are told here. Several may watch the same name from one
    machine or from many: what one has looked at the others do not look at again. A database that does not answer is
    asked again the next time, unless it is looked only once. With --json, a line of JSON for each
    round.

    \b
    Example:
      tunesmith monitor watch recipe.yaml --once
    """
    from tunesmith.errors import StoreError
    from tunesmith.recipe.load import load_recipe
    from tunesmith.recipe.monitor import MonitorSection

    loaded = load_recipe(recipe, overrides)
    _need_packages()
    from tunesmith.monitor.look import look
    from tunesmith.store.home import find_home

    every = (loaded.recipe.monitor or MonitorSection()).every_minutes * 60
    home, console = find_home(), _console()
    while True:
        began = time.monotonic()
        try:
            with console.status("looking at traffic") as shown:
                found = look(
                    home, loaded.recipe,
                    tell=lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True),
                    report=lambda what, done, of: shown.update(f"{what} {done}/{of}"),
                )  # fmt: skip
            _told(loaded.recipe.name, found, as_json)
        except StoreError as error:
            if once:
                raise
            console.print(f"looked at again later: {error}", markup=False, highlight=False, soft_wrap=True)
        if once:
            return
        time.sleep(max(1.0, every - (time.monotonic() - began)))


@command.command()
@recipe_arguments
@click.option("--add", "files", multiple=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Labelled rows to add first, in the form of the recipe's data; repeatable.")  # fmt: skip
def golden(recipe: Path, overrides: tuple[str, ...], as_json: bool, files: tuple[Path, ...]) -> None:
    """Evaluate the live version of RECIPE's name on its golden set now, and compare it with the day of release.

    The first time it is the day of release. Exits 1 when the loss has risen.

    \b
    Example:
      tunesmith monitor golden recipe.yaml --add checked-by-hand.jsonl
    """
    from tunesmith.errors import GateFailed
    from tunesmith.recipe.load import load_recipe

    loaded = load_recipe(recipe, overrides)
    need_training_packages()
    from tunesmith.monitor.findings import Findings
    from tunesmith.monitor.golden.evaluate import evaluate_golden
    from tunesmith.monitor.golden.grow import add_file
    from tunesmith.monitor.golden.shelf import Shelf
    from tunesmith.monitor.live import live_version
    from tunesmith.recipe.monitor import MonitorSection
    from tunesmith.registry.registry import Registry
    from tunesmith.store.database import Database
    from tunesmith.store.home import find_home

    home, console = find_home(), _console()
    registry = Registry.open(home, create=False)
    version = live_version(registry, loaded.recipe.name)
    registry.close()
    for file in files:
        fresh = add_file(Shelf(home, version.name), file, loaded.recipe.data, datetime.now(UTC))
        console.print(f"{file}: {len(fresh)} new rows", markup=False, highlight=False, soft_wrap=True)
    database = Database.open(home.database_url)
    findings = Findings(database)
    settings = loaded.recipe.monitor or MonitorSection()
    with console.status("reading the golden set") as shown:
        found = evaluate_golden(
            home, database, findings, version, settings, datetime.now(UTC),
            lambda what, done, of: shown.update(f"{what} {done}/{of}"),
        )  # fmt: skip
    findings.note([found])
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(f"{found.version}: {found.reason}")
    if found.fired:
        raise GateFailed(found.reason)


for view in (status, report):
    command.add_command(view)


def _told(name: str, found: Sequence[Finding], as_json: bool) -> None:
    fired = [one for one in found if one.fired]
    if as_json:
        answer(_line({"name": name, "looked_at": len(found), "fired": [one.to_json() for one in fired]}))
        return
    click.echo(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC {name}: {len(found)} verdicts, {len(fired)} fired")
    for one in fired:
        click.echo(f"  ✘ {one.rule} ({one.version or name}): {one.reason}")


def _line(value: Any) -> str:
    import json

    return json.dumps(value)


def _need_packages() -> None:
    """Refuse where what watching needs is missing. Raises TunesmithError with the mending command."""
    from importlib.util import find_spec

    from tunesmith.errors import TunesmithError

    missing = [name for name in ("numpy", "pyarrow", "scipy", "river") if find_spec(name) is None]
    if missing:
        raise TunesmithError(
            f"this needs {', '.join(missing)}, which is not installed", fix='pip install "tunesmith[train,monitor]"'
        )


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True)
