"""`tunesmith cluster`: rent a Ray cluster, see what it costs, end it and know that nothing is left."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tunesmith.cli.output import print_json

if TYPE_CHECKING:
    from tunesmith.cluster.launch.file import LauncherFile
    from tunesmith.cluster.launch.prices import Quote

FILE = click.argument("file", type=click.Path(path_type=Path))
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
YES = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group(name="cluster")
def command() -> None:
    """Start, look at and end Ray clusters that a launcher file describes (copy one of the folder cluster/).

    \b
    Example:
      tunesmith cluster up cluster/aws.yaml
      tunesmith cluster cost cluster/aws.yaml
      tunesmith cluster down cluster/aws.yaml
    """


@command.command()
@FILE
@YES
@AS_JSON
def up(file: Path, yes: bool, as_json: bool) -> None:
    """Start the cluster of FILE, or bring it in line with FILE; the price is shown first.

    \b
    Example:
      tunesmith cluster up cluster/aws.yaml
    """
    from tunesmith.cluster.launch.file import ClusterError, check_mounts, read_launcher_file
    from tunesmith.cluster.launch.groups import groups
    from tunesmith.cluster.launch.prices import quote
    from tunesmith.cluster.launch.ray_launcher import check_launcher, run_launcher
    from tunesmith.plan.catalog import load_catalog

    launcher = read_launcher_file(file)
    prices = quote(groups(launcher), load_catalog())
    _show_prices(launcher, prices)
    check_launcher(launcher.provider)
    check_mounts(launcher)
    _ask(f"Start {launcher.name}?", yes, file, "the price is shown above")
    status = run_launcher("up", file)
    if status:
        raise ClusterError(
            f"Ray's launcher ended with {status}; machines may run already",
            where=str(file),
            fix=f"read what it says above; `tunesmith cluster status {file}`, `tunesmith cluster down {file}`",
        )
    if as_json:
        print_json(_quote_json(launcher, prices))
    else:
        click.echo(f"{launcher.name} is up. `ray dashboard {file}` makes a tunnel to it; end it: "
                   f"tunesmith cluster down {file}")  # fmt: skip


@command.command()
@FILE
@YES
@click.option(
    "--wait", type=click.FloatRange(min=0), default=300.0, show_default=True, help="Seconds machines get to end."
)
@AS_JSON
def down(file: Path, yes: bool, wait: float, as_json: bool) -> None:
    """End the cluster of FILE and ask the cloud whether anything of it is left; exits 1 if so.

    \b
    Example:
      tunesmith cluster down cluster/aws.yaml
    """
    from tunesmith.cluster.launch.file import ClusterError, read_launcher_file
    from tunesmith.cluster.launch.ray_launcher import check_launcher, run_launcher
    from tunesmith.cluster.launch.rented import CONSOLES, view_of
    from tunesmith.cluster.launch.verify import in_words, wait_until_gone

    launcher = read_launcher_file(file)
    check_launcher(launcher.provider)
    view = view_of(launcher)
    before = view.left() if view else []
    _ask(f"End {launcher.name}{f': {in_words(before)}' if before else ''}?", yes, file, "nothing was ended")
    status = run_launcher("down", file)
    left = wait_until_gone(view, wait, lambda text: click.echo(text, err=True)) if view else None
    if as_json:
        found = None if left is None else [vars(one) for one in left]
        print_json({"cluster": launcher.name, "verified": left is not None, "left": found, "ray_exit_status": status})
    if left:
        click.echo(f"LEFT, and may cost money: {in_words(left)}", err=True)
        raise SystemExit(1)
    if status:
        raise ClusterError(f"Ray's launcher ended with {status}", where=str(file), fix="read what it says above")
    if as_json:
        return
    if left is not None:
        click.echo(f"{launcher.name} is down; the cloud has no machine, disk or address of it any more")
    elif launcher.provider in CONSOLES:
        click.echo(
            f"{launcher.name} was ended. NOT VERIFIED that nothing is left: look at {CONSOLES[launcher.provider]}"
        )
    else:
        click.echo(f"{launcher.name} is down; its machines are your own")


@command.command()
@FILE
@AS_JSON
def status(file: Path, as_json: bool) -> None:
    """List the machines of the cluster of FILE and what each costs an hour, as the cloud says.

    \b
    Example:
      tunesmith cluster status cluster/aws.yaml
    """
    from decimal import Decimal

    from tunesmith.cli.registry import print_table
    from tunesmith.cluster.launch.file import read_launcher_file
    from tunesmith.cluster.launch.rented import needed_view
    from tunesmith.plan.catalog import load_catalog
    from tunesmith.plan.money import usd

    launcher, catalog, now = read_launcher_file(file), load_catalog(), datetime.now(UTC)
    machines = needed_view(launcher, "status").machines()
    if as_json:
        print_json({"cluster": launcher.name, "machines": [one.to_json(catalog, now) for one in machines]})
        return
    prices = [one.price(catalog) for one in machines]
    rows = [
        (one.group, one.id, one.machine, one.market, one.state, one.address or "-", f"{one.launched:%Y-%m-%d %H:%M}",
         "-" if one.ended else usd(price.usd_per_hour) if price else "not known")
        for one, price in zip(machines, prices, strict=True)
    ]  # fmt: skip
    if rows:
        print_table(("group", "machine", "type", "market", "state", "address", "since (UTC)", "$/hour"), rows)
    running = [price for one, price in zip(machines, prices, strict=True) if one.ended is None]
    total = sum((price.usd_per_hour for price in running if price), Decimal(0))
    click.echo(f"{len(running)} machines of {launcher.name} run, {usd(total)} an hour{_without(running)}", err=True)


@command.command()
@FILE
@AS_JSON
def cost(file: Path, as_json: bool) -> None:
    """Estimate what the cluster of FILE has cost: time since each launch times price.

    \b
    Example:
      tunesmith cluster cost cluster/aws.yaml
    """
    from decimal import Decimal

    from tunesmith.cli.registry import print_table
    from tunesmith.cluster.launch.file import read_launcher_file
    from tunesmith.cluster.launch.prices import NOT_COUNTED
    from tunesmith.cluster.launch.rented import needed_view
    from tunesmith.plan.catalog import load_catalog
    from tunesmith.plan.money import usd

    launcher, catalog, now = read_launcher_file(file), load_catalog(), datetime.now(UTC)
    machines = needed_view(launcher, "cost").machines()
    amounts = [one.usd(catalog, now) for one in machines]
    total = sum((amount for amount in amounts if amount is not None), Decimal(0))
    note = f"an estimate: {NOT_COUNTED}, and clouds soon forget machines that ended"
    if as_json:
        values = [one.to_json(catalog, now) for one in machines]
        print_json({"cluster": launcher.name, "usd": str(total), "note": note, "machines": values})
        return
    rows = [
        (one.group, one.id, one.machine, one.market, one.state, f"{one.launched:%Y-%m-%d %H:%M}",
         "not known" if amount is None else usd(amount))
        for one, amount in zip(machines, amounts, strict=True)
    ]  # fmt: skip
    if rows:
        print_table(("group", "machine", "type", "market", "state", "since (UTC)", "cost"), rows)
    click.echo(f"{launcher.name}: {usd(total)} so far{_without(amounts)} ({note})")


def _without(priced: Sequence[object | None]) -> str:
    """What a sum leaves out."""
    missing = sum(one is None for one in priced)
    return f", without {missing} whose price is not known" if missing else ""


def _show_prices(launcher: LauncherFile, prices: Quote) -> None:
    """To standard error: what it would cost, group by group, and where each price comes from."""
    from tunesmith.cluster.launch.prices import NOT_COUNTED
    from tunesmith.plan.money import usd

    def say(text: str) -> None:
        click.echo(text, err=True)

    if not prices.groups:
        say(f"{launcher.name}: machines of your own, nothing is rented")
        return
    for one in prices.groups:
        each = usd(one.price.usd_per_hour) if one.price else "price not known"
        most = one.most_usd_per_hour
        number = "1" if one.group.head else f"{one.group.least} to {one.group.most}"
        sum_ = f", {usd(most)} at most" if most is not None and not one.group.head else ""
        say(f"{one.group.name:<16} {number:>7} x {one.group.machine} {one.group.market}: {each} an hour{sum_}")
    always, most_of_all = prices.least_usd_per_hour, prices.most_usd_per_hour
    say(f"always {usd(always)} an hour ({usd(always * 24)} a day), at most {usd(most_of_all)} an hour; {NOT_COUNTED}")
    known = {one.price for one in prices.groups if one.price}
    for day, source in sorted({(price.date, price.source) for price in known}):
        say(f"  prices of {day}: {source}")
    if prices.unknown:
        say(f"  not known, not in the sums: {', '.join(prices.unknown)}; the hardware file takes them (docs/plan.md)")


def _quote_json(launcher: LauncherFile, prices: Quote) -> dict[str, object]:
    return {
        "cluster": launcher.name,
        "provider": launcher.provider,
        "groups": [one.to_json() for one in prices.groups],
        "least_usd_per_hour": str(prices.least_usd_per_hour),
        "most_usd_per_hour": str(prices.most_usd_per_hour),
        "prices_not_known": prices.unknown,
    }


def _ask(question: str, yes: bool, file: Path, otherwise: str) -> None:
    from tunesmith.cluster.launch.file import ClusterError

    if yes:
        return
    if not sys.stdin.isatty():
        raise ClusterError(f"nobody is here to be asked; {otherwise}", where=str(file), fix="agree with --yes")
    click.confirm(question, abort=True, err=True)
