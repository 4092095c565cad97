"""`tunesmith review import|export`: items and ratings as JSON lines, and to Label Studio and back."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tunesmith.cli.output import answer, print_json, write_output

if TYPE_CHECKING:
    from tunesmith.review.exchange import Brought
    from tunesmith.review.item import Rating

as_json = click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
form = click.option(
    "--format", "form", type=click.Choice(["jsonl", "label-studio"]),
    help="By the file's name if left out: .jsonl, or .json for Label Studio.",
)  # fmt: skip


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", help="The registered name of items that name none.")
@form
@as_json
def import_(path: Path, name: str | None, form: str | None, as_json: bool) -> None:
    """Bring in items and ratings from PATH; nothing comes twice, and the later word of a rater counts.

    \b
    Example:
      tunesmith review import items.jsonl
      tunesmith review import project-7.json --name summaries
    """
    from tunesmith.cli.review import open_reviews
    from tunesmith.review.exchange.bring import bring

    brought = _read(path, name, form)
    reviews = open_reviews(create=True)
    before = sum(items for items, _ in reviews.names().values())
    newer = bring(reviews, brought)
    added = sum(items for items, _ in reviews.names().values()) - before
    counts = {
        "items": len(brought),
        "added": added,
        "ratings": sum(len(one.ratings) for one in brought),
        "newer": newer,
    }
    if as_json:
        print_json(counts)
        return
    click.echo(f"{added} of {len(brought)} items are new, {newer} of {counts['ratings']} ratings")


@click.command()
@click.argument("name")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="The file; standard output if left out.")
@form
@click.option(
    "--labelling-config", type=click.Path(path_type=Path), help="Write Label Studio's interface for these tasks, too."
)
@click.option("--kind", type=click.Choice(["pair", "answer"]), help="Only items of this kind.")
def export(name: str, output: Path | None, form: str | None, labelling_config: Path | None, kind: str | None) -> None:
    """Write items and ratings of NAME. Texts, sources and known answers are in it: it is not for raters' eyes.

    \b
    Example:
      tunesmith review export summaries -o summaries.jsonl
      tunesmith review export summaries -o tasks.json --kind pair --labelling-config interface.xml
    """
    import json

    from tunesmith.cli.review import open_reviews
    from tunesmith.review.exchange.jsonl import lines_of
    from tunesmith.review.exchange.label_studio import labelling_config as interface
    from tunesmith.review.exchange.label_studio import tasks_of

    reviews = open_reviews(create=False)
    items = [one for one in reviews.items(name) if kind in (None, one.kind)]
    by_item: dict[str, list[Rating]] = defaultdict(list)
    for said in reviews.ratings(name):
        by_item[said.item].append(said)
    rubric = reviews.rubric(name)
    if _form(output, form) == "jsonl":
        text = "".join(f"{line}\n" for line in lines_of(items, by_item))
    else:
        text = json.dumps(list(tasks_of(items, by_item, rubric)), ensure_ascii=False, indent=1) + "\n"
    if labelling_config is not None:
        write_output(labelling_config, interface(rubric, "answer" if kind == "answer" else "pair"))
    if output is None:
        answer(text.removesuffix("\n"))
        return
    write_output(output, text)
    click.echo(f"{len(items)} items in {output}", err=True)


def _read(path: Path, name: str | None, form: str | None) -> list[Brought]:
    from tunesmith.errors import DataError
    from tunesmith.review.exchange.jsonl import read_lines
    from tunesmith.review.exchange.label_studio import read_tasks

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise DataError(f"the file cannot be read: {why}", where=str(path), fix="name a file") from None
    if _form(path, form) == "jsonl":
        return read_lines(text.split("\n"), str(path), name)
    return read_tasks(text, str(path), name)


def _form(path: Path | None, form: str | None) -> str:
    return form or ("label-studio" if path is not None and path.suffix == ".json" else "jsonl")
