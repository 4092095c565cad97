"""ROUGE-1, ROUGE-2 and ROUGE-L: word sequences shared with the reference (Lin 2004, W04-1013)."""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import version
from typing import Any

from tunesmith.evaluate.metrics.metric import MeanMetric
from tunesmith.evaluate.metrics.words import WORDS, words


class _Words:
    """rouge-score's own tokenizer keeps a-z and 0-9 alone, which scores 0 on every other script."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


class Rouge(MeanMetric):
    """F-measure of rouge-score, with words of any script and no stemming; rows are averaged."""

    def __init__(self, name: str, title: str) -> None:
        self.name = name  # type: ignore[misc]  # one class serves three names
        self.title = title  # type: ignore[misc]

    def score(self, answer: str, reference: str) -> float:
        return float(self._scorer.score(reference, answer)[self.name].fmeasure)

    def signature(self) -> str:
        return f"{self.name}|f-measure|tok:{WORDS}|stem:no|rouge-score:{version('rouge-score')}"

    @cached_property
    def _scorer(self) -> Any:
        from rouge_score.rouge_scorer import RougeScorer  # brings nltk, seconds to import

        return RougeScorer([self.name], tokenizer=_Words())
