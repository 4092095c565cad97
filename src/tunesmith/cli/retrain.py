"""`tunesmith retrain`: train again when it pays, and let the new version win its place."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tunesmith.cli.options import need_training_packages, recipe_arguments
from tunesmith.cli.output import print_json, write_output

if TYPE_CHECKING:
    from tunesmith.monitor.retrain.journal import Journal, Retrain
    from tunesmith.store.database import Database
    from tunesmith.store.home import Home

as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
HELP = {"help_option_names": ["-h", "--help"]}


class RecipeFirst(click.Group):
    """A group whose first word may be a recipe: what is no command of it is handed to `start`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "-h", "--help"):
            args = ["start", *args]
        return super().parse_args(ctx, args)


@click.group(cls=RecipeFirst, context_settings=HELP)
def command() -> None:
    """Decide whether to train RECIPE again, and take the retrain in flight as far as it goes.

    A retrain gathers what people have said of answers, trains, asks gates, registers, and meets users in a shadow, a
    canary and an A/B test, whose decision promotes it. Given again after a stop, it goes on where it was. Give RECIPE
    in the place of a command: `tunesmith retrain start --help` lists its options.

    \b
    Example:
      tunesmith retrain recipe.yaml --dry-run
      tunesmith retrain recipe.yaml --watch
      tunesmith retrain show summaries
    """


@command.command(context_settings=HELP)
@recipe_arguments
@click.option("--dry-run", is_flag=True, help="Say what would happen and why; nothing is written or begun.")
@click.option("--now", "wish", metavar="WHY", help="Begin whatever the triggers say; the reason is kept.")
@click.option("--watch", is_flag=True, help="Stay: look, decide and drive, again and again.")
@click.option("--in-process", is_flag=True, help="Train in this process, without Ray.")
def start(
    recipe: Path, overrides: tuple[str, ...], as_json: bool, dry_run: bool, wish: str | None, watch: bool,
    in_process: bool,
) -> None:  # fmt: skip
    """Decide whether to retrain RECIPE's name, begin where it is time, and drive the one in flight.

    Exits 1 when a gate has stopped it. What waits for users is left where it is, for the next call or for --watch.

    \b
    Example:
      tunesmith retrain recipe.yaml
      tunesmith retrain recipe.yaml --now "the new product is out"
    """
    from rich.console import Console

    from tunesmith.errors import GateFailed
    from tunesmith.recipe.load import load_recipe
    from tunesmith.store.home import find_home

    loaded = load_recipe(recipe, overrides)
    need_training_packages()
    from tunesmith.monitor.retrain.keep_going import Keeper

    keeper = Keeper(loaded, find_home(), Console(stderr=True), in_process, create=not dry_run)
    try:
        if dry_run:
            _tell_ruling(keeper, wish, as_json)
            return
        if watch:
            with suppress(KeyboardInterrupt):
                keeper.forever(wish)
            return
        retrain, ruling = keeper.once(wish)
    finally:
        keeper.close()
    if as_json:
        decision = None if ruling is None else {"start": ruling.start, "reason": ruling.reason}
        print_json({"decision": decision, "retrain": None if retrain is None else retrain.to_json()})
    elif retrain is None:
        click.echo(f"no retrain: {ruling.reason if ruling else ''}")
    else:
        _tell(retrain)
    if retrain is not None and retrain.state.get("end") == "stopped" and retrain.state.get("failed"):
        raise GateFailed(str(retrain.state["because"]))


@command.command(context_settings=HELP)
@click.argument("name")
@click.argument("number", type=click.IntRange(1, 2**31 - 1), required=False)
@click.option("--html", type=click.Path(path_type=Path), help="Write the page there instead.")
@as_json
def show(name: str, number: int | None, html: Path | None, as_json: bool) -> None:
    """The whole trail of a retrain of NAME, the newest if no NUMBER is given: what, why, and with which figures.

    \b
    Example:
      tunesmith retrain show summaries
      tunesmith retrain show summaries 3 --html retrain-3.html
    """
    from tunesmith.monitor.retrain.trail import trail_lines, trail_page

    _, _, journal = _opened()
    found = journal.find(name, number)
    steps = journal.steps(name, found.number)
    if html is not None:
        write_output(html, trail_page(found, steps))
    if as_json:
        print_json({**found.to_json(), "steps": [one.to_json() for one in steps]})
    elif html is not None:
        click.echo(f"page: {html}")
    else:
        click.echo("\n".join(trail_lines(found, steps)))


@command.command(name="ls", context_settings=HELP)
@click.argument("name", required=False)
@as_json
def list_(name: str | None, as_json: bool) -> None:
    """All retrains, or those of NAME, and the last decision of each.

    \b
    Example:
      tunesmith retrain ls
    """
    from tunesmith.store.database import NoDatabase

    try:
        _, _, journal = _opened()
    except NoDatabase:
        print_json({"retrains": [], "last_decision": {}}) if as_json else click.echo("none yet")
        return
    found = journal.every(name)
    if as_json:
        names = dict.fromkeys([name] if name else [one.name for one in found])
        decisions = {one: _last_decision(journal, one) for one in names}
        print_json({"retrains": [one.to_json() for one in found], "last_decision": decisions})
        return
    for one in found:
        _tell(one)
    if not found:
        click.echo("none yet")
    if name is not None and (last := _last_decision(journal, name)) is not None:
        click.echo(f"last decision not to: {last['at'][:16]} {last['reason']}")


@command.command(context_settings=HELP)
@click.argument("name")
@click.option("--why", required=True, help="The reason, kept in the trail.")
@click.option("--by", "who", help="Who does it; the user of this machine if left out.")
@as_json
def stop(name: str, why: str, who: str | None, as_json: bool) -> None:
    """End the retrain of NAME that is in flight: its experiment is rolled back, the champion stays.

    A driver that is at work ends it before its next step; training that runs is not cut off.

    \b
    Example:
      tunesmith retrain stop summaries --why "the feedback was a test"
    """
    need_training_packages()
    from rich.console import Console

    from tunesmith.cli.registry import user
    from tunesmith.errors import TunesmithError
    from tunesmith.monitor.retrain.drive import end
    from tunesmith.monitor.retrain.journal import Taken

    home, database, journal = _opened()
    retrain = journal.in_flight(name)
    if retrain is None:
        raise TunesmithError(f"no retrain of {name[:80]!a} is in flight", where=name[:80], fix="`tunesmith retrain ls`")
    journal.ask_to_stop(retrain, who or user(), why)
    try:
        ended = end(home, database, journal, retrain, Console(stderr=True))
    except Taken as error:
        click.echo(f"word is left: {error.what}, and ends it before its next step", err=True)
        ended = journal.find(name, retrain.number)
    if as_json:
        print_json(ended.to_json())
    else:
        _tell(ended)


def _tell(retrain: Retrain) -> None:
    state = retrain.state
    standing = f"in flight, at {retrain.next}" if retrain.running else f"{state.get('end')}: {state.get('because')}"
    click.echo(f"{retrain.reference} ({retrain.started_at:%Y-%m-%d %H:%M} UTC): {standing}")


def _tell_ruling(keeper: Any, wish: str | None, as_json: bool) -> None:
    ruling = keeper.ruling(wish, write=False)
    if as_json:
        print_json(
            {
                "start": ruling.start, "reason": ruling.reason, "hindrances": list(ruling.hindrances),
                "triggers": [one.to_json() for one in ruling.firings],
            }
        )  # fmt: skip
        return
    click.echo(f"{'would begin' if ruling.start else 'would not begin'}: {ruling.reason}")
    for one in ruling.firings:
        click.echo(f"  {one.name}: {'fired' if one.fired else 'quiet'}, {one.reason}")


def _last_decision(journal: Journal, name: str) -> dict[str, Any] | None:
    steps = journal.steps(name)
    return steps[-1].to_json() if steps else None


def _opened() -> tuple[Home, Database, Journal]:
    from tunesmith.monitor.retrain.journal import Journal
    from tunesmith.store.database import Database
    from tunesmith.store.home import find_home

    home = find_home()
    database = Database.open(home.database_url, create=False)
    return home, database, Journal(database)
