"""Conversations longer than the model is trained on, and answers that were cut off before they came here."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tunesmith.data.audit.findings.check import MAX_SAMPLES, Batch, Check, Context, Tally, in_rows
from tunesmith.data.audit.report import Finding, Sample
from tunesmith.data.audit.table import NO_LABEL, Table
from tunesmith.data.audit.words import content

MIN_PILE = 5
MIN_CUT_CHARACTERS = 50


class Overlong(Check):
    """Overlong rows need token counts. Cut answers show as a pile at the longest length, an open fence or open JSON."""

    code = "overlong"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.overlong = Tally()
        self.cut = Tally()

    def see(self, batch: Batch) -> None:
        limit = self.context.sequence_length
        if limit is not None and batch.num_tokens is not None:
            for example, part, num_tokens in zip(batch.examples, batch.parts, batch.num_tokens, strict=True):
                if num_tokens > limit:
                    self.overlong.add(part, example.origin, f"{num_tokens:,} tokens")
        for example, part in zip(batch.examples, batch.parts, strict=True):
            last = next((turn for turn in reversed(example.messages) if turn["role"] == "assistant"), None)
            if last and (sign := _cut_sign(content(last))):
                self.cut.add(part, example.origin, sign)

    def findings(self, table: Table) -> Iterator[Finding]:
        if count := self.overlong.counts.total():
            yield Finding(
                code="overlong",
                title="Overlong conversations",
                severity="error",
                count=count,
                counts=dict(self.overlong.counts),
                message=f"{in_rows(count)} longer than train.sequence_length ({self.context.sequence_length:,} tokens)",
                fix="raise train.sequence_length, shorten the rows, or set data.overlong to truncate or drop",
                samples=tuple(self.overlong.samples),
            )
        yield from self._cut_off(table)

    def _cut_off(self, table: Table) -> Iterator[Finding]:
        piled, length = _pile_at_the_end(table)
        count = self.cut.counts.total() + len(piled)
        if not count:
            return
        samples = [
            Sample(where=table.where(row), note=f"{length:,} characters, as long as any") for row in piled[:MAX_SAMPLES]
        ]
        counts = self.cut.counts + type(self.cut.counts)(table.by_part(piled))
        yield Finding(
            code="overlong",
            title="Answers that look cut off",
            severity="warning",
            count=count,
            counts=dict(counts),
            can_fail=False,
            details=(
                ("end in an open code fence or open JSON", self.cut.counts.total()),
                ("pile up at one greatest length", len(piled)),
            ),
            message=f"{in_rows(count)} with an answer that a limit seems to have cut: the model would learn that",
            fix="find out which step cut them and take the whole answers",
            samples=tuple([*self.cut.samples, *samples][:MAX_SAMPLES]),
        )


def _cut_sign(answer: str) -> str | None:
    if "```" in answer and answer.count("```") % 2:
        return "ends inside a code fence"
    stripped = answer.strip()
    if stripped.startswith(('{"', '[{"')) and stripped[-1] not in "}]":
        return "ends inside JSON"
    return None


def _pile_at_the_end(table: Table) -> tuple[np.ndarray, int]:
    """Different long answers that all have the greatest length there is. Class names, which repeat, are no sign."""
    lengths = table.column("num_answer_characters")
    longest = int(lengths.max()) if len(lengths) else 0
    rows = np.flatnonzero((lengths == longest) & (table.records["label"] == NO_LABEL))
    is_pile = max(MIN_PILE, 0.002 * len(lengths)) <= len(rows) <= 0.5 * len(lengths)
    if longest < MIN_CUT_CHARACTERS or not is_pile:
        return rows[:0], longest
    num_different = len(np.unique(table.records["answer"][rows]))
    return (rows, longest) if num_different > 0.9 * len(rows) else (rows[:0], longest)
