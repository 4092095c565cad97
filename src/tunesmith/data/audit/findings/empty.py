"""Rows with a question or an answer missing."""

from __future__ import annotations

from collections.abc import Iterator

from tunesmith.data.audit.findings.check import Batch, Check, Context, Tally, in_rows
from tunesmith.data.audit.report import Finding
from tunesmith.data.audit.table import Table
from tunesmith.data.audit.words import content
from tunesmith.data.example import Example

INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\x00"


class Empty(Check):
    """A user or assistant turn that is blank, or holds nothing but white space and invisible characters."""

    code = "empty"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.tally = Tally()

    def see(self, batch: Batch) -> None:
        for example, part in zip(batch.examples, batch.parts, strict=True):
            if role := _blank_role(example):
                self.tally.add(part, example.origin, f"empty {role} turn")

    def findings(self, table: Table) -> Iterator[Finding]:
        if count := self.tally.counts.total():
            yield Finding(
                code="empty",
                title="Empty rows",
                severity="warning",
                count=count,
                counts=dict(self.tally.counts),
                message=f"{in_rows(count)} with an empty question or answer: the model would learn to say nothing",
                fix="fill them in or remove them",
                samples=tuple(self.tally.samples),
            )


def _blank_role(example: Example) -> str | None:
    for message in example.messages:
        text = content(message)
        is_blank = not text or text.isspace() or not text.strip().strip(INVISIBLE).strip()
        if is_blank and message["role"] in ("user", "assistant") and not message.get("tool_calls"):
            return message["role"]
    return None
