"""`tunesmith data`: look at training data before anything is spent on it."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tunesmith.cli.options import need_training_packages, recipe_arguments
from tunesmith.cli.output import answer, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from tunesmith.data.audit import AuditReport
    from tunesmith.data.dataset import Dataset
    from tunesmith.data.render import Renderer
    from tunesmith.recipe.data import DataSection
    from tunesmith.recipe.load import LoadedRecipe
    from tunesmith.train.ingredients import Ingredients

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
    data, folder, loaded = _data_of(source, overrides)
    listing = _listing_path(source, html)
    console = Console(stderr=True)
    renderer = _renderer_at_hand(loaded, console) if loaded is not None else None
    length = loaded.recipe.train.sequence_length if loaded is not None else None
    report = _audit(data, folder, listing, console, renderer, length)
    if html is not None:
        from tunesmith.data.audit.page import to_html

        write_output(html, to_html(report, Path(source).name))
    if as_json:
        answer(report.model_dump_json(indent=2))
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


@command.command()
@recipe_arguments
def prepare(recipe: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Make the dataset version that RECIPE describes, or find it: rendered, tokenised, audited, split and packed.

    The same rows, settings and tokenizer are the same version, so nothing is done twice.

    \b
    Example:
      tunesmith data prepare recipe.yaml
      tunesmith data prepare recipe.yaml --set train.sequence_length=2048 --json
    """
    from rich.console import Console

    dataset, _ = _prepared(recipe, overrides)
    if as_json:
        print_json({**dataset.manifest, "folder": str(dataset.folder)})
        return
    from tunesmith.cli.data_tables import parts_table, remarks

    console = Console(highlight=False)
    console.print(parts_table(dataset))
    for line in remarks(dataset):
        console.print(line, markup=False)
    console.print(f"next: tunesmith data show {recipe}", markup=False)


@command.command()
@recipe_arguments
@click.option("--part", type=click.Choice(["train", "validation", "test"]), default="train", show_default=True)
@click.option("--rows", "num_rows", type=click.IntRange(min=1), default=3, show_default=True, help="How many to show.")
@click.option("--start", type=click.IntRange(min=0), default=0, show_default=True, help="The first one, from 0.")
def show(recipe: Path, overrides: tuple[str, ...], as_json: bool, part: str, num_rows: int, start: int) -> None:
    """Print packed rows as the model will see them, with what it learns from in colour.

    Everything else is shown to the model and carries no loss. Where there are no colours, ⟦ and ⟧ stand around it. The
    data is prepared first if it was not.

    \b
    Example:
      tunesmith data show recipe.yaml
      tunesmith data show recipe.yaml --part test --rows 1 --start 4
    """
    from rich.console import Console

    from tunesmith.data.show import shown_rows
    from tunesmith.errors import DataError

    dataset, found = _prepared(recipe, overrides)
    there = dataset.counts(part)["rows"]
    if start >= there:
        raise DataError(f"{part} has {there} packed rows", where="--start", fix=f"give a number below {max(there, 1)}")
    rows = shown_rows(dataset, found.tokenizer, part, range(start, min(start + num_rows, there)))
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    from tunesmith.cli.data_tables import row_text

    console = Console(highlight=False, soft_wrap=True)
    for row in rows:
        console.print(row_text(row, part, coloured=console.is_terminal and not console.no_color))


def _load(recipe: Path, overrides: tuple[str, ...]) -> LoadedRecipe:
    from tunesmith.recipe.load import load_recipe

    return load_recipe(recipe, overrides)


def _ingredients(loaded: LoadedRecipe) -> Ingredients:
    from tunesmith.store.home import find_home
    from tunesmith.train.ingredients import ingredients

    return ingredients(loaded, find_home())


def _prepared(recipe: Path, overrides: tuple[str, ...]) -> tuple[Dataset, Ingredients]:
    """The dataset version of a recipe, made now if need be."""
    from rich.console import Console

    loaded = _load(recipe, overrides)
    need_training_packages()
    from tunesmith.data.prepare import prepare
    from tunesmith.store.home import find_home

    counts: dict[str, int] = {}
    with Console(stderr=True).status("finding the base model") as status:

        def progress(stage: str, num_rows: int) -> None:
            counts[stage] = counts.get(stage, 0) + num_rows
            status.update(f"{stage}: {counts[stage]:,} rows")

        found = _ingredients(loaded)
        return prepare(found.preparation, find_home().datasets, progress), found


def _data_of(source: str, overrides: tuple[str, ...]) -> tuple[DataSection, Path, LoadedRecipe | None]:
    """The `data` section to audit, the folder its relative paths start at, and the recipe it is from."""
    if Path(source).suffix.lower() in RECIPE_ENDINGS:
        loaded = _load(Path(source), overrides)
        return loaded.recipe.data, loaded.folder, loaded
    if overrides:
        raise click.UsageError("--set changes fields of a recipe, and this is a data file")
    from tunesmith.recipe.data import DataSection

    return DataSection.model_validate({"train": source}), Path.cwd(), None


def _renderer_at_hand(loaded: LoadedRecipe, console: Console) -> Renderer | None:
    """What counts tokens, where the model is on this machine; an audit downloads nothing."""
    from tunesmith.errors import TunesmithError

    source = loaded.recipe.model.source
    reason = f"'{source}' would have to be fetched"
    if "://" not in source:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the hub's library is imported
        try:
            with console.status("finding the base model's tokenizer"):
                return _ingredients(loaded).renderer
        except TunesmithError as error:
            reason = error.what
        except ImportError as error:
            reason = str(error)
    console.print(f"overlong rows are not counted: {reason}", markup=False, highlight=False, soft_wrap=True)
    return None


def _listing_path(source: str, html: Path | None) -> Path:
    """Where malformed rows are listed."""
    if html is not None:
        return html.with_name(f"{html.stem}.malformed.jsonl")
    from tunesmith.store.home import find_home

    return find_home().folder / "audit" / f"{Path(source).stem}.malformed.jsonl"


def _audit(
    data: DataSection,
    folder: Path,
    listing: Path,
    console: Console,
    renderer: Renderer | None,
    sequence_length: int | None,
) -> AuditReport:
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
            sequence_length=sequence_length,
            num_tokens=renderer.count if renderer is not None else None,
            special_tokens=renderer.special_tokens if renderer is not None else (),
            malformed_path=listing,
            progress=lambda num_rows: bar.advance(task, num_rows),
        )
    return report
