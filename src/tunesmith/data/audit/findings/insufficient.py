"""Whether there are enough rows to learn from, and what to add."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tunesmith.data.audit.findings.check import MAX_SAMPLES, Check
from tunesmith.data.audit.report import Finding, Sample, Sufficiency
from tunesmith.data.audit.table import Table

PER_CLASS = (100, 500)
FOR_GENERATION = (1_000, 5_000)
HUNDREDS = 200
MAX_CLASSES = 200


class Insufficient(Check):
    """100 to 500 different rows a class for classification, 1,000 to 5,000 for generation, in the first part."""

    code = "insufficient"

    def findings(self, table: Table) -> Iterator[Finding]:
        verdict = sufficiency(table)
        if verdict.level != "insufficient":
            return
        classes = class_sizes(table)
        short = sorted((n, name) for name, n in classes.items() if n < PER_CLASS[0])
        total = sum(classes.values()) if classes else num_different(table)
        yield Finding(
            code="insufficient",
            title="Too few examples",
            severity="note" if total >= HUNDREDS else "warning",
            count=len(short) or 1,
            message=verdict.text,
            fix="add rows like those the model will meet, not variations of the ones you have",
            samples=tuple(
                Sample(where=f"class '{name[:80]}'", note=f"{n:,} rows, add {PER_CLASS[0] - n:,}")
                for n, name in short[:MAX_SAMPLES]
            ),
        )


def sufficiency(table: Table) -> Sufficiency:
    """The verdict on the training rows, repeats not counted."""
    total = num_different(table)
    if classes := class_sizes(table):
        short = [PER_CLASS[0] - n for n in classes.values() if n < PER_CLASS[0]]
        typical = int(np.median(list(classes.values())))
        start = f"{total:,} different rows in {len(classes):,} classes, {typical:,} in the median class"
        if short:
            advice = f"{len(short):,} classes have fewer than {PER_CLASS[0]}; add {sum(short):,} rows to them"
            hope = "classes that are told apart easily need fewer: the evaluation decides"
            return Sufficiency(level="insufficient", task="classification", text=f"{start}: {advice}; {hope}")
        enough = "plenty" if min(classes.values()) >= PER_CLASS[1] else "enough"
        return Sufficiency(level=enough, task="classification", text=f"{start}: every class has {PER_CLASS[0]} or more")
    start = f"{total:,} different rows to learn answers from"
    if total < FOR_GENERATION[0]:
        add = f"add {FOR_GENERATION[0] - total:,} for the usual {FOR_GENERATION[0]:,} to {FOR_GENERATION[1]:,}"
        hope = (
            "hundreds of good ones can be enough: the evaluation decides"
            if total >= HUNDREDS
            else "that is seldom enough"
        )
        return Sufficiency(level="insufficient", task="generation", text=f"{start}: {add}; {hope}")
    level = "plenty" if total >= FOR_GENERATION[1] else "enough"
    return Sufficiency(
        level=level,
        task="generation",
        text=f"{start}: within or above the usual {FOR_GENERATION[0]:,} to {FOR_GENERATION[1]:,}",
    )


def num_different(table: Table) -> int:
    """Rows of the first part, repeats not counted."""
    return len(np.unique(table.records["whole"][_train(table)]))


def class_sizes(table: Table) -> dict[str, int]:
    """Different rows of each class of the first part; empty when rows have no labels and answers are not classes.

    Without labels, few different short answers that all repeat are taken for classes; they are numbered, not shown.
    """
    rows = _train(table)
    rows = rows[np.unique(table.records["whole"][rows], return_index=True)[1]] if len(rows) else rows
    labels = table.records["label"][rows]
    if len(rows) and (labels >= 0).mean() > 0.5:
        numbers, counts = np.unique(labels[labels >= 0], return_counts=True)
        return {table.labels[number]: int(n) for number, n in zip(numbers, counts, strict=True)}
    answers, counts = np.unique(table.records["answer"][rows], return_counts=True)
    if 1 < len(answers) <= min(MAX_CLASSES, 0.05 * len(rows)):
        return {f"answer {number}": int(n) for number, n in enumerate(counts, start=1)}
    return {}


def _train(table: Table) -> np.ndarray:
    return table.rows_of(table.parts[0]) if table.parts else np.zeros(0, dtype=np.int64)
