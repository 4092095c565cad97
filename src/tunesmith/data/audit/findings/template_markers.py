"""Chat-template markers inside the text, which a tokenizer may turn into control tokens."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from tunesmith.data.audit.findings.check import Batch, Check, Context, Tally, in_rows
from tunesmith.data.audit.report import Finding
from tunesmith.data.audit.table import Table
from tunesmith.data.audit.words import content

GENERAL = (
    r"<\|[A-Za-z][\w-]{1,40}\|>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>"
    r"|\[(?:PAD|CLS|SEP|BOS|EOS)\]|<\uff5c[^\uff5c<>]{1,40}\uff5c>|^### (?:Instruction|Response|Input):"
    r"|^(?:Human|Assistant|User|USER|ASSISTANT): "
)

MAX_MARKERS = 30


class TemplateMarkers(Check):
    """Markers of well-known chat templates, and the special tokens of the tokenizer in use."""

    code = "template-markers"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        own = sorted({token for token in context.special_tokens if len(token.strip()) > 2}, key=len, reverse=True)
        self.own = frozenset(own)
        self.pattern = re.compile("|".join([*map(re.escape, own), GENERAL]), re.MULTILINE)
        self.tally = Tally()
        self.markers: Counter[str] = Counter()

    def see(self, batch: Batch) -> None:
        for example, part, text in zip(batch.examples, batch.parts, batch.texts, strict=True):
            systems = [content(turn) for turn in example.messages if turn["role"] == "system"]
            found = [match for piece in (text, *systems) for match in self.pattern.findall(piece)]
            if found:
                self.markers.update(found)
                self.tally.add(part, example.origin, ", ".join(sorted(set(found))[:3]))

    def findings(self, table: Table) -> Iterator[Finding]:
        if count := self.tally.counts.total():
            num_own = sum(n for marker, n in self.markers.items() if marker in self.own)
            effect = (
                "the tokenizer reads them as control tokens" if num_own else "a template or tokenizer may act on them"
            )
            yield Finding(
                code="template-markers",
                title="Template markers in the text",
                severity="error" if num_own else "warning",
                count=count,
                counts=dict(self.tally.counts),
                details=tuple(self.markers.most_common(MAX_MARKERS)),
                message=f"{in_rows(count)} with markers of chat templates: {effect}",
                fix="remove them: rows are plain text, the template is added when they are rendered",
                samples=tuple(self.tally.samples),
            )
