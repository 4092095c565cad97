"""`tunesmith registry`: list versions, look at one, move aliases, check the files."""

from __future__ import annotations

import getpass
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from tunesmith.cli.output import print_json

if TYPE_CHECKING:
    from tunesmith.registry.registry import Registry

WIDTH_OF_A_PIPE = 200
"""Columns of a table that goes into a file or another program, so that nothing is cut."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


@click.group(name="registry")
def command() -> None:
    """List versions and move aliases.

    \b
    Example:
      tunesmith registry ls
      tunesmith registry show summaries@3
      tunesmith registry alias summaries champion 3 --why "better on the test rows"
    """


@command.command("ls")
@click.argument("name", required=False)
@as_json
def list_(name: str | None, as_json: bool) -> None:
    """List every version, or those of NAME.

    \b
    Example:
      tunesmith registry ls summaries --json
    """
    from tunesmith.store.database import NoDatabase

    try:
        registry = _open()
    except NoDatabase as nothing:
        if name is not None:
            raise
        if as_json:
            print_json([])
        click.echo(f"no versions: {nothing}", err=True)
        return
    versions = registry.versions(name)
    pointing: dict[str, list[str]] = {}
    for alias in registry.aliases(name):
        pointing.setdefault(f"{alias.name}@{alias.number}", []).append(alias.alias)
    if as_json:
        print_json([{**version.to_json(), "aliases": pointing.get(version.reference, [])} for version in versions])
        return
    print_table(
        ("version", "aliases", "verdict", "kind", "base model", "created (UTC)", "by"),
        [
            (
                version.reference,
                ", ".join(pointing.get(version.reference, [])),
                version.verdict,
                version.kind,
                version.base_model,
                version.created_at.strftime("%Y-%m-%d %H:%M"),
                version.created_by,
            )
            for version in versions
        ],
    )


@command.command()
@click.argument("version")
@as_json
def show(version: str, as_json: bool) -> None:
    """Show one version: NAME@N, NAME@ALIAS, or NAME for the newest that passed.

    \b
    Example:
      tunesmith registry show summaries@champion
    """
    registry = _open()
    found = registry.resolve(version)
    aliases = [alias.alias for alias in registry.aliases(found.name) if alias.number == found.number]
    fields = {**found.to_json(), "aliases": aliases}
    if as_json:
        print_json(fields)
        return
    long = ("recipe", "report")
    rows = [(key.replace("_", " "), _one_line(value)) for key, value in fields.items() if key not in long]
    print_table(("field", "value"), rows)
    click.echo(f"the whole of it, with recipe and report: tunesmith registry show {found.reference} --json", err=True)


@command.command()
@click.argument("name")
@click.argument("alias")
@click.argument("version")
@click.option("--why", required=True, help="The reason, kept in the history.")
@click.option("--by", "who", help="Who moves it; the user of this machine if left out.")
@click.option("--expect", help="Move only if the alias points at this number now, or at nothing: none.")
@click.option("--force", is_flag=True, help="Also to a version that failed its gate.")
@as_json
def alias(
    name: str, alias: str, version: str, why: str, who: str | None, expect: str | None, force: bool, as_json: bool
) -> None:
    """Point ALIAS of NAME at VERSION (3 or NAME@3), and write down who did it, when and why.

    \b
    Example:
      tunesmith registry alias summaries champion 3 --why "better on the test rows" --expect 2
    """
    number = _number(name, version)
    expected = {} if expect is None else {"expected": None if expect == "none" else _number(name, expect)}
    moved = _open().move_alias(name, alias, number, who or user(), why, force=force, **expected)
    if as_json:
        print_json(moved.to_json())
        return
    before = "set for the first time" if moved.from_number is None else f"was {name}@{moved.from_number}"
    click.echo(f"{name}@{alias} -> {name}@{moved.to_number} ({before})")
    if moved.forced:
        click.echo("warning: this version failed its gate", err=True)


@command.command()
@click.argument("name")
@click.argument("alias")
@as_json
def history(name: str, alias: str, as_json: bool) -> None:
    """Show every move of ALIAS, oldest first.

    \b
    Example:
      tunesmith registry history summaries champion
    """
    moves = _open().history(name, alias)
    if as_json:
        print_json([move.to_json() for move in moves])
        return
    print_table(
        ("when (UTC)", "from", "to", "who", "why"),
        [
            (
                move.moved_at.strftime("%Y-%m-%d %H:%M:%S"),
                "" if move.from_number is None else str(move.from_number),
                f"{move.to_number}{' (forced)' if move.forced else ''}",
                move.moved_by,
                move.why,
            )
            for move in moves
        ],
    )


@command.command()
@click.argument("version")
@as_json
def verify(version: str, as_json: bool) -> None:
    """Read every file of a version again and compare it with its hash.

    \b
    Example:
      tunesmith registry verify summaries@3
    """
    registry = _open()
    found = registry.resolve(version)
    manifest = registry.verify(found)
    if as_json:
        files = [{"name": file.name, "size": file.size, "sha256": file.sha256} for file in manifest.files]
        print_json({"reference": found.reference, "content_hash": found.content_hash, "files": files})
        return
    click.echo(f"{found.reference}: {len(manifest.files)} files, {manifest.num_bytes:,} bytes, all as registered")


def _open() -> Registry:
    from tunesmith.registry.registry import Registry
    from tunesmith.store.home import find_home

    return Registry.open(find_home(), create=False)


def _number(name: str, text: str) -> int:
    from tunesmith.registry.check import quoted

    number = text.removeprefix(f"{name}@")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise click.UsageError(f"{quoted(text)} is not a version of {quoted(name)}: write 3 or NAME@3")
    return int(number)


def user() -> str:
    """Who is at work, by the machine's own account."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a number without a name.
        return "unknown"


def _one_line(value: Any) -> str:
    if value is None or value == []:
        return "-"
    return value if isinstance(value, str) else json.dumps(value)


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A plain table on standard output, as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH_OF_A_PIPE)
    table = Table(box=None, pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        # Text, not markup: a model may be called [red].
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
