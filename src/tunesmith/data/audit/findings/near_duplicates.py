"""Rows that say almost the same as an earlier one of the same part."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tunesmith.data.audit.findings.check import MAX_SAMPLES, Check, in_rows
from tunesmith.data.audit.findings.duplicates import repeated
from tunesmith.data.audit.report import Finding, Sample
from tunesmith.data.audit.table import Table


class NearDuplicates(Check):
    """Jaccard similarity of word 3-grams at or above the threshold; exact duplicates are counted elsewhere."""

    code = "near-duplicates"

    def findings(self, table: Table) -> Iterator[Finding]:
        rows, originals = repeated(table, table.near)
        exact, _ = repeated(table, table.column("whole"))
        is_new = ~np.isin(rows, exact)
        rows, originals = rows[is_new], originals[is_new]
        if len(rows):
            threshold = self.context.section.near_duplicate_threshold
            yield Finding(
                code="near-duplicates",
                title="Near-duplicates",
                severity="warning",
                count=len(rows),
                counts=table.by_part(rows),
                message=f"{in_rows(len(rows))} almost the same as an earlier one of that part "
                f"(word 3-grams, similarity {threshold:g} or more)",
                fix="keep one of each; the automatic split keeps them on one side",
                samples=tuple(
                    Sample(
                        where=table.where(row),
                        note=f"like {table.where(other)} (similarity {table.similarity.of(row, other):.2f})",
                    )
                    for row, other in zip(rows[:MAX_SAMPLES], originals[:MAX_SAMPLES], strict=True)
                ),
            )
