"""`tunesmith train --explain` for people: who holds what, and what travels, as two tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def explain_table(explained: Mapping[str, Any]) -> Group:
    """What `Explanation.to_json` gave, to print."""
    from rich.console import Group
    from rich.text import Text

    numbers = explained["parameters"]
    workers = explained["workers"]
    lines = [
        f"{numbers['base']:,} parameters, {numbers['trained']:,} trained ({numbers['trained_share']:.2%})",
        f"{explained['method']}, {explained['strategy']}, {workers} worker{'s' if workers > 1 else ''}, "
        f"computes in {explained['computes_in']}; shapes from {explained['shapes_from']}",
    ]
    parts: list[Any] = [Text("\n".join(lines) + "\n"), _held(explained), Text("")]
    if explained["collectives_per_step"]:
        parts.append(_collectives(explained))
    return Group(*parts)


def _held(explained: Mapping[str, Any]) -> Table:
    table = _table("each worker holds", "values", "bytes", "type")
    each = explained["each_worker"]
    for one in each["held"]:
        where = "share, " if one["shared_out"] else ""
        place = ", in memory" if one["offloaded"] else ""
        table.add_row(one["what"], f"{one['values']:,}", size(one["bytes"]), where + " ".join(one["types"]) + place)
    table.add_section()
    if each["gathered_bytes"]:
        table.add_row("gathered to compute", "", size(each["gathered_bytes"]), "")
    if each["unpacked_bytes"]:
        table.add_row("one layer unpacked", "", size(each["unpacked_bytes"]), "")
    made = each["activations"]
    tokens = f"{made['tokens']:,} tokens"
    table.add_row("activations, about", "", size(made["without_checkpointing_bytes"]), tokens)
    table.add_row("  checkpointed, about", "", size(made["with_checkpointing_bytes"]), tokens)
    table.add_row("  kept in memory, about", "", size(made["with_offload_bytes"]), tokens)
    table.add_section()
    table.add_row(
        "the base while loading", "", size(each["loading_bytes"]), "share" if each["reads_share"] else "whole"
    )
    table.add_row("most at once, about", "", size(each["peak_bytes"]), "")
    return table


def _collectives(explained: Mapping[str, Any]) -> Table:
    table = _table(f"a step sends ({explained['micro_batches_per_step']} micro-batches)", "times", "bytes", "when")
    for one in explained["collectives_per_step"]:
        most = "≤ " if one["at_most"] else ""
        table.add_row(f"{one['kind']} {one['what']}", f"{most}{one['times']:,}", most + size(one["bytes"]), one["when"])
    return table


def _table(*columns: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in ("values", "bytes", "times") else "left")
    return table


def size(num_bytes: int) -> str:
    """A number of bytes in the largest unit that leaves at least one."""
    for unit, name in UNITS:
        if num_bytes >= unit:
            return f"{num_bytes / unit:.2f} {name}"
    return f"{num_bytes} B"
