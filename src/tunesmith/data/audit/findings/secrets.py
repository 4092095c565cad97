"""Keys, cards, bank accounts, e-mail addresses and phone numbers in the text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tunesmith.data.audit.findings.check import Batch, Check, Context, Tally, in_rows
from tunesmith.data.audit.report import Finding
from tunesmith.data.audit.secret_kinds import find_secrets
from tunesmith.data.audit.table import Table
from tunesmith.data.audit.words import content


class Secrets(Check):
    """Proven secrets (checksum or structure) can fail a gate; look-alikes are a warning. Nothing is shown whole."""

    code = "secrets"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.rows = {True: Tally(), False: Tally()}
        self.kinds: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}

    def see(self, batch: Batch) -> None:
        for example, part, text in zip(batch.examples, batch.parts, batch.texts, strict=True):
            systems = [content(turn) for turn in example.messages if turn["role"] == "system"]
            calls = [str(turn["tool_calls"]) for turn in example.messages if turn.get("tool_calls")]
            found = [secret for piece in (text, *systems, *calls) for secret in find_secrets(piece)]
            for certain in (True, False):
                kinds = [secret for secret in found if secret.certain is certain]
                if kinds:
                    self.kinds[certain].update(secret.kind for secret in kinds)
                    note = "; ".join(f"{secret.kind} {secret.redacted}" for secret in kinds[:3])
                    self.rows[certain].add(part, example.origin, note)

    def findings(self, table: Table) -> Iterator[Finding]:
        for certain in (True, False):
            tally = self.rows[certain]
            if count := tally.counts.total():
                what = "with a key, card or account number proven by its checksum or structure"
                maybe = "with what looks like a key, an e-mail address or a phone number"
                yield Finding(
                    code="secrets",
                    title="Secrets" if certain else "Possible secrets and personal data",
                    severity="error" if certain else "warning",
                    can_fail=certain,
                    count=count,
                    counts=dict(tally.counts),
                    details=tuple(self.kinds[certain].most_common()),
                    message=f"{in_rows(count)} {what if certain else maybe}: a model can repeat what it has seen",
                    fix="replace them with placeholders, and revoke keys that were real",
                    samples=tuple(tally.samples),
                )
