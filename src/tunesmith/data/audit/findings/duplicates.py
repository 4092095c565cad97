"""Rows that occur more than once in a part."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tunesmith.data.audit.findings.check import MAX_SAMPLES, Check, in_rows
from tunesmith.data.audit.report import Finding, Sample
from tunesmith.data.audit.table import Table, first_rows


class Duplicates(Check):
    """Counts every occurrence after the first, within each part."""

    code = "duplicates"

    def findings(self, table: Table) -> Iterator[Finding]:
        rows, originals = repeated(table, table.column("whole"))
        if len(rows):
            yield Finding(
                code="duplicates",
                title="Exact duplicates",
                severity="warning",
                count=len(rows),
                counts=table.by_part(rows),
                message=f"{in_rows(len(rows))} the same as an earlier one of that part, counted double in training",
                fix="remove the repeats, unless they are meant as weights",
                samples=tuple(
                    Sample(where=table.where(row), note=f"same as {table.where(original)}")
                    for row, original in zip(rows[:MAX_SAMPLES], originals[:MAX_SAMPLES], strict=True)
                ),
            )


def repeated(table: Table, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose key occurred earlier in the same part, and the first row with that key."""
    again, originals = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for part in table.parts:
        rows = table.rows_of(part)
        if len(rows):
            first = rows[first_rows(keys[rows])]
            again.append(rows[first != rows])
            originals.append(first[first != rows])
    return np.concatenate(again), np.concatenate(originals)
