"""What an audit found: plain data that goes to the screen, to JSON and back, and to a page."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from tunesmith.recipe.data import GateFinding

Severity = Literal["error", "warning", "note"]
Level = Literal["insufficient", "enough", "plenty"]


class Frozen(BaseModel):
    """A record that never changes and has no unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Sample(Frozen):
    """One row a finding is about. `note` never holds the row's text."""

    where: str
    note: str = ""


class Finding(Frozen):
    """One thing that is wrong, or worth a look, with how often and what to do.

    `can_fail` is false where the evidence is a mere look-alike: such a finding never refuses the data. `counts` splits
    `count` by part; `details` counts what is inside, such as kinds of secrets. `samples` are the first few rows.
    """

    code: GateFinding
    title: str
    severity: Severity
    count: int
    message: str
    fix: str
    can_fail: bool = True
    counts: dict[str, int] = {}
    details: tuple[tuple[str, int], ...] = ()
    samples: tuple[Sample, ...] = ()


class Lengths(Frozen):
    """How long conversations are, in characters or tokens. Lengths above the last edge are counted in the last bin."""

    median: int
    p95: int
    longest: int
    total: int
    edges: tuple[int, ...]
    counts: tuple[int, ...]


class PartStats(Frozen):
    """One part (train, validation, test): rows that are conversations, rows that are not, and what they are like.

    `labels` has the most frequent classes; `num_labels` counts all of them.
    """

    name: str
    num_examples: int
    num_malformed: int
    characters: Lengths | None = None
    tokens: Lengths | None = None
    labels: dict[str, int] = {}
    num_labels: int = 0


class Sufficiency(Frozen):
    """Whether the training rows are enough, and what to add."""

    level: Level
    task: Literal["classification", "generation"]
    text: str


class AuditReport(Frozen):
    """The whole audit. `passed` is false when a finding named in `fail_on` occurred."""

    passed: bool
    parts: tuple[PartStats, ...]
    scripts: dict[str, int]
    sufficiency: Sufficiency
    findings: tuple[Finding, ...]
    fail_on: tuple[GateFinding, ...]
    near_duplicate_threshold: float
    sequence_length: int | None = None

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The findings that refuse the data."""
        return failing(self.findings, self.fail_on)


def failing(findings: tuple[Finding, ...], fail_on: tuple[GateFinding, ...]) -> tuple[Finding, ...]:
    """Findings that may fail a gate and that the recipe says should."""
    return tuple(finding for finding in findings if finding.can_fail and finding.count and finding.code in fail_on)
