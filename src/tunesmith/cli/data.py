"""`tunesmith data`: look at training data before anything is spent on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from tunesmith.data.audit import AuditReport
    from tunesmith.recipe.data import DataSection

RECIPE_ENDINGS = {".yaml", ".yml"}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Audit, prepare and look at training data."""


@command.command()
@click.argument("source")
@click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the report as a page with plots.")
def audit(source: str, overrides: tuple[str, ...], as_json: bool, html: Path | None) -> None:
    """Look for what is wrong with the rows of SOURCE: a recipe, or a data file.

    Malformed rows are listed in a file beside the page, or in the project's home folder. Exits 1 when something that
    the recipe's data.audit.fail_on names was found.

    \b
    Example:
      tunesmith data audit recipe.yaml --html audit.html
      tunesmith data audit rows.jsonl --json
    """
    from rich.console import Console

    from tunesmith.cli.output import check_output, write_output
    from tunesmith.errors import GateFailed

    if html is not None:
        check_output(html)
    data, folder = _data_of(source, overrides)
    listing = _listing_path(source, html)
    report = _audit(data, folder, listing, Console(stderr=True))
    if html is not None:
        from tunesmith.data.audit.page import to_html

        write_output(html, to_html(report, Path(source).name))
    if as_json:
        click.echo(report.model_dump_json(indent=2))
    else:
        from tunesmith.data.audit.terminal import show

        console = Console()
        show(report, console)
        for path in (html, listing):
            if path is not None and path.exists():
                console.print(f"written: {path}", markup=False, highlight=False)
    if not report.passed:
        codes = ", ".join(sorted({finding.code for finding in report.failed}))
        raise GateFailed(
            f"the audit refuses the data: {codes}",
            where=source,
            fix="mend the rows named in the report, or change data.audit.fail_on",
        )


def _data_of(source: str, overrides: tuple[str, ...]) -> tuple[DataSection, Path]:
    """The `data` section to audit and the folder its relative paths start at."""
    if Path(source).suffix.lower() in RECIPE_ENDINGS:
        from tunesmith.recipe.load import load_recipe

        loaded = load_recipe(Path(source), overrides)
        return loaded.recipe.data, loaded.folder
    if overrides:
        raise click.UsageError("--set changes fields of a recipe, and this is a data file")
    from tunesmith.recipe.data import DataSection

    return DataSection.model_validate({"train": source}), Path.cwd()


def _listing_path(source: str, html: Path | None) -> Path:
    """Where malformed rows are listed."""
    if html is not None:
        return html.with_name(f"{html.stem}.malformed.jsonl")
    from tunesmith.store.home import find_home

    return find_home().folder / "audit" / f"{Path(source).stem}.malformed.jsonl"


def _audit(data: DataSection, folder: Path, listing: Path, console: Console) -> AuditReport:
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from tunesmith.data.audit import audit
    from tunesmith.data.read import read_examples

    named = [part for part in ("train", "validation", "test") if getattr(data, part) is not None]
    with Progress(
        SpinnerColumn(), TextColumn("reading and checking {task.completed:,} rows"), console=console, transient=True
    ) as bar:
        task = bar.add_task("rows", total=None)
        report, _ = audit(
            {part: read_examples(data, folder, part) for part in named},
            data.audit,
            malformed_path=listing,
            progress=lambda num_rows: bar.advance(task, num_rows),
        )
    return report
