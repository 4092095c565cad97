"""What every kind of finding shares: it watches rows go by, then judges the whole table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from tunesmith.data.audit.report import Finding, Sample
from tunesmith.data.audit.table import Table
from tunesmith.data.example import Example
from tunesmith.recipe.data import AuditSection, GateFinding

MAX_SAMPLES = 20


@dataclass(frozen=True)
class Context:
    """What the audit was asked: settings, the longest conversation, tokens that steer the model."""

    section: AuditSection
    sequence_length: int | None = None
    special_tokens: tuple[str, ...] = ()


@dataclass(frozen=True)
class Batch:
    """Some rows with the part each belongs to, their text, and their lengths in tokens where these are known."""

    examples: list[Example]
    parts: list[str]
    texts: list[str]
    num_tokens: list[int] | None


@dataclass
class Tally:
    """Counts by part, with the first few rows."""

    counts: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)

    def add(self, part: str, where: object, note: str = "") -> None:
        """Count one row."""
        self.counts[part] += 1
        if len(self.samples) < MAX_SAMPLES:
            self.samples.append(Sample(where=str(where), note=note))


def in_rows(count: int) -> str:
    """`1 row` or `25 rows`."""
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


class Check:
    """One kind of finding. Memory must not grow with the rows: count, and keep a few samples."""

    code: ClassVar[GateFinding]

    def __init__(self, context: Context) -> None:
        self.context = context

    def see(self, batch: Batch) -> None:
        """Look at rows while they stream by."""

    def findings(self, table: Table) -> Iterator[Finding]:
        """What was found, once all rows are in the table."""
        raise NotImplementedError
