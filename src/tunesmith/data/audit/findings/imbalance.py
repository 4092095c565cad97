"""Classes that are rare, missing from a part, or written in two ways."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from tunesmith.data.audit.findings.check import MAX_SAMPLES, Check
from tunesmith.data.audit.report import Finding, Sample
from tunesmith.data.audit.table import Table

MAX_RATIO = 10


class Imbalance(Check):
    """A class is rare when the most frequent one has more than ten times its rows, in the first part (train)."""

    code = "imbalance"

    def findings(self, table: Table) -> Iterator[Finding]:
        counts = {part: label_counts(table, part) for part in table.parts}
        train = next(iter(counts.values()), {})
        if not train:
            return
        most = max(train.values())
        rare = {label: count for label, count in train.items() if count * MAX_RATIO < most}
        unseen = {label: n for part in table.parts[1:] for label, n in counts[part].items() if label not in train}
        twins = _spelled_alike(train)
        count = len(rare) + len(unseen) + len(twins)
        if not count:
            return
        notes = [
            *(
                (label, f"{n:,} rows, the largest class has {most:,}")
                for label, n in sorted(rare.items(), key=lambda x: x[1])
            ),
            *((label, f"{n:,} held-out rows, none to learn from") for label, n in unseen.items()),
            *((label, f"differs from '{other}' only in case, spaces or signs") for label, other in twins.items()),
        ]
        yield Finding(
            code="imbalance",
            title="Class balance",
            severity="warning",
            count=count,
            details=(
                ("rare classes", len(rare)),
                ("classes only in held-out rows", len(unseen)),
                ("classes written in two ways", len(twins)),
            ),
            message=f"classes that are rare, unseen in training, or written in two ways: {count:,}",
            fix="add rows to the rare classes, and spell each class in one way",
            samples=tuple(Sample(where=f"class '{label[:80]}'", note=note) for label, note in notes[:MAX_SAMPLES]),
        )


def label_counts(table: Table, part: str) -> dict[str, int]:
    """Rows of each class in a part, most frequent first."""
    numbers = table.records["label"][table.rows_of(part)]
    counts = np.bincount(numbers[numbers >= 0], minlength=len(table.labels))
    order = np.argsort(-counts, kind="stable")
    return {table.labels[i]: int(counts[i]) for i in order if counts[i]}


def _spelled_alike(labels: dict[str, int]) -> dict[str, str]:
    """Label -> a more frequent one that differs only in case, white space, dashes and underscores."""
    spelled: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        spelled["".join(letter for letter in label.casefold() if letter.isalnum()) or label].append(label)
    return {label: same[0] for same in spelled.values() for label in same[1:]}
