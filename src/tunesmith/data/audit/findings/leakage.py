"""Rows that two parts share: what is learned from must not be what is tested on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from tunesmith.data.audit.findings.check import MAX_SAMPLES, Check, in_rows
from tunesmith.data.audit.report import Finding, Sample
from tunesmith.data.audit.table import Table


class Leakage(Check):
    """For each pair of parts, in both directions: the same row, the same prompt, a near-duplicate.

    A row counts once, as the strongest of the three. `count` is the number of rows of later parts (validation, test)
    that an earlier part gives away. Open prompts, which very many rows share, count only as the same row or a
    near-duplicate.
    """

    code = "leakage"

    def findings(self, table: Table) -> Iterator[Finding]:
        keys = {
            "the same row": table.column("whole"),
            "the same prompt": table.column("prompt"),
            "a near-duplicate": table.near,
        }
        details: list[tuple[str, int]] = []
        leaked: dict[int, tuple[str, int]] = {}
        shares = np.zeros(len(table.records), dtype=bool)
        for earlier, later in combinations(table.parts, 2):
            for of, within in ((later, earlier), (earlier, later)):
                for how, (rows, twins) in _strongest(table, keys, of, within).items():
                    if len(rows):
                        details.append((f"{of} rows with {how} in {within}", len(rows)))
                    if of == later:
                        shares[rows] = True
                        for row, twin in zip(rows[:MAX_SAMPLES].tolist(), twins[:MAX_SAMPLES].tolist(), strict=True):
                            leaked.setdefault(row, (how, twin))
        rows = np.flatnonzero(shares)
        if len(rows):
            yield Finding(
                code="leakage",
                title="Leakage between parts",
                severity="error",
                count=len(rows),
                counts=table.by_part(rows),
                details=tuple(details),
                message=f"{in_rows(len(rows))} held out but also in another part: their scores would flatter",
                fix="remove them from one side, or give only data.train: the split keeps twins together",
                samples=tuple(
                    Sample(where=table.where(row), note=f"{how}: {table.where(twin)}")
                    for row, (how, twin) in sorted(leaked.items())[:MAX_SAMPLES]
                ),
            )


def _strongest(
    table: Table, keys: dict[str, np.ndarray], of: str, within: str
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each way to leak, rows of one part that it is the first to find in the other, with their twins there."""
    rows, others = table.rows_of(of), table.rows_of(within)
    is_open = table.open_prompts()
    found = {}
    for how, key in keys.items():
        here, there = rows, others
        if how == "the same prompt":
            here, there = rows[~is_open[rows]], others[~is_open[others]]
        values, first = np.unique(key[there], return_index=True)
        at = np.searchsorted(values, key[here])
        hit = np.zeros(len(here), dtype=bool)
        hit[at < len(values)] = values[at[at < len(values)]] == key[here][at < len(values)]
        found[how] = (here[hit], there[first[at[hit]]])
        rows = rows[~np.isin(rows, here[hit])]
    return found
