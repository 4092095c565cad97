"""Prompts that are answered in different ways."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tunesmith.data.audit.findings.check import MAX_SAMPLES, Check, in_rows
from tunesmith.data.audit.report import Finding, Sample
from tunesmith.data.audit.table import Table, first_rows


class Contradictions(Check):
    """Rows whose prompt has another answer elsewhere. Open prompts, shared by very many rows, may have many answers."""

    code = "contradictions"

    def findings(self, table: Table) -> Iterator[Finding]:
        prompts, answers = table.column("prompt"), table.column("answer")
        first = first_rows(prompts)
        differs = answers != answers[first]
        in_dispute = np.isin(first, np.unique(first[differs])) & ~table.open_prompts()
        rows = np.flatnonzero(in_dispute)
        if not len(rows):
            return
        others = np.flatnonzero(in_dispute & differs)[:MAX_SAMPLES]
        num_prompts = len(np.unique(first[rows]))
        yield Finding(
            code="contradictions",
            title="Contradictions",
            severity="warning",
            count=len(rows),
            counts=table.by_part(rows),
            details=(("prompts with different answers", num_prompts),),
            message=f"{in_rows(len(rows))} with a prompt that is answered differently elsewhere: which is right?",
            fix="decide which answer is right; for several good answers keep the best",
            samples=tuple(
                Sample(where=table.where(row), note=f"another answer than {table.where(first[row])}") for row in others
            ),
        )
