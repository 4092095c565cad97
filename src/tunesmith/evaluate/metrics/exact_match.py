"""Share of answers that are the reference."""

from __future__ import annotations

import unicodedata

from tunesmith.evaluate.metrics.metric import MeanMetric


class ExactMatch(MeanMetric):
    """Equal after Unicode NFC and after runs of white space became one space, ends trimmed.

    Case and punctuation count: they matter in code, JSON and labels.
    """

    name = "exact_match"
    title = "Exact match"

    def score(self, answer: str, reference: str) -> float:
        return float(_plain(answer) == _plain(reference))

    def signature(self) -> str:
        return "exact|case:mixed|space:collapsed|unicode:NFC"


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())
