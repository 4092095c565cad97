"""A dataset version on the screen: its parts, what was found in it, its rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from tunesmith.data.dataset import Dataset
    from tunesmith.data.show import ShownPiece, ShownRow

PARTS = ("train", "validation", "test")


def parts_table(dataset: Dataset) -> Table:
    """Examples, packed rows, tokens, learnt tokens and how full the rows are, for each part."""
    from rich.table import Table

    length = dataset.manifest["sequence_length"]
    grid = Table(box=None, pad_edge=False)
    for name in ("part", "examples", "rows", "tokens", "learnt", "full"):
        grid.add_column(name, justify="left" if name == "part" else "right")
    for part in PARTS:
        counts = dataset.counts(part)
        room = counts["rows"] * length
        cells = (f"{counts[name]:,}" for name in ("examples", "rows", "tokens", "label_tokens"))
        grid.add_row(part, *cells, f"{counts['tokens'] / room:.1%}" if room else "–")
    return grid


def remarks(dataset: Dataset) -> Iterator[str]:
    """What was left out, what the audit found, where it lies; a line each."""
    manifest = dataset.manifest
    if manifest["malformed"]:
        yield f"malformed rows, left out: {manifest['malformed']:,} (see malformed.jsonl)"
    if manifest["overlong"]["rows"]:
        action = {"drop": "left out", "truncate": "cut"}[manifest["overlong"]["action"]]
        yield f"longer than train.sequence_length, {action}: {manifest['overlong']['rows']:,}"
    if manifest["unused"]:
        yield f"beyond data.max_train_examples, not used: {manifest['unused']:,}"
    found = ", ".join(f"{code} {count:,}" for code, count in manifest["findings"].items())
    yield f"audit: {found or 'nothing found'}{' (see audit.html)' if found else ''}"
    yield f"version {dataset.version}: {dataset.folder}"


def row_text(row: ShownRow, part: str, coloured: bool) -> Text:
    """A packed row; what is learnt is green, or yellow with its weight where that is not 1, the rest dim."""
    from rich.text import Text

    text = Text()
    head = f"{part} row {row.number} · {row.num_tokens:,} tokens, {row.num_labels:,} learnt"
    text.append(f"{head} · {len(row.documents)} conversations\n", style="bold")
    for document in row.documents:
        text.append(f"── {_legible(document.where)} · {document.num_tokens:,} tokens\n", style="cyan")
        for piece in document.pieces:
            _append(text, piece, coloured)
        text.append("\n")
    return text


def _append(text: Text, piece: ShownPiece, coloured: bool) -> None:
    legible = _legible(piece.text)
    if not piece.weight:
        text.append(legible, style="dim")
        return
    factor = "" if piece.weight == 1 else f"×{piece.weight:g}"
    style = "bold yellow" if factor else "bold green"
    text.append(f"{legible}{factor}" if coloured else f"⟦{legible}⟧{factor}", style=style)


def _legible(text: str) -> str:
    from tunesmith.report.legible import visible

    return str(visible(text))
