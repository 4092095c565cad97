"""Rows in another writing system than the rest, or in several at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tunesmith.data.audit.findings.check import Batch, Check, Context, Tally
from tunesmith.data.audit.report import Finding
from tunesmith.data.audit.scripts import count_scripts, has_mixed_word
from tunesmith.data.audit.table import Table

MIXED_SHARE = 0.2
MIXED_LETTERS = 5


class MixedScripts(Check):
    """A row is mixed when a second script has a fifth of its letters. Languages of one script are not told apart."""

    code = "mixed-scripts"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.rows: Counter[str] = Counter()
        self.by_part: dict[str, Counter[str]] = {}
        self.samples: dict[str, Tally] = {}
        self.mixed = Tally()
        self.words = Tally()

    def see(self, batch: Batch) -> None:
        for example, part, text in zip(batch.examples, batch.parts, batch.texts, strict=True):
            counts = count_scripts(text)
            if not counts:
                continue
            main = max(counts, key=counts.__getitem__)
            self.rows[main] += 1
            self.samples.setdefault(main, Tally()).add(part, example.origin, f"mostly {main}")
            if len(counts) > 1:
                second = sorted(counts.values())[-2]
                if second >= max(MIXED_LETTERS, MIXED_SHARE * sum(counts.values())):
                    self.mixed.add(
                        part, example.origin, f"mixes {' and '.join(sorted(counts, key=counts.__getitem__)[-1:-3:-1])}"
                    )
                if has_mixed_word(text):
                    self.words.add(part, example.origin, "a word mixes letters of two alphabets")

    def findings(self, table: Table) -> Iterator[Finding]:
        others = self.rows.most_common()[1:]
        num_other, num_mixed, num_words = (
            sum(n for _, n in others),
            self.mixed.counts.total(),
            self.words.counts.total(),
        )
        if not num_other + num_mixed + num_words:
            return
        counts: Counter[str] = self.mixed.counts + self.words.counts
        samples = [*self.words.samples, *self.mixed.samples]
        for script, _ in reversed(others):
            counts += self.samples[script].counts
            samples += self.samples[script].samples[:5]
        main = self.rows.most_common(1)[0][0]
        details = [*((f"rows mostly {script}", n) for script, n in self.rows.most_common())]
        details += [("rows that mix two scripts", num_mixed), ("rows with a word of two alphabets", num_words)]
        yield Finding(
            code="mixed-scripts",
            title="Mixed scripts",
            severity="warning",
            count=num_other + num_mixed + num_words,
            counts=dict(counts),
            details=tuple(details),
            samples=tuple(samples[:20]),
            message=f"most rows are in {main}; in another script: {num_other:,}; mixing two: {num_mixed:,}; "
            f"with a word of two alphabets: {num_words:,}",
            fix="fine for translation or several languages; else remove wrong rows and look-alike letters",
        )
