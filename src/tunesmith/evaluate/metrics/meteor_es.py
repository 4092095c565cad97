"""METEOR with exact and stem matches, without WordNet's synonyms."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from tunesmith.evaluate.metrics.metric import MeanMetric
from tunesmith.evaluate.metrics.words import WORDS, words


class _NoSynonyms:
    """Stands where nltk expects WordNet, whose data no package ships."""

    def synsets(self, word: str) -> Sequence[object]:
        return []


class MeteorExactStem(MeanMetric):
    """nltk's METEOR (Lavie & Agarwal 2007, W07-0734) with the modules exact and Porter stem only.

    Lower than METEOR with synonyms, hence its own name. Equal texts of m words score 1 - 0.5 / m³: even the one
    chunk they match in is charged, so a single word scores 0.5.
    """

    name = "meteor_es"
    title = "METEOR (exact, stem)"

    def score(self, answer: str, reference: str) -> float:
        from nltk.translate.meteor_score import single_meteor_score  # seconds to import

        return float(single_meteor_score(words(reference), words(answer), wordnet=_NoSynonyms()))

    def signature(self) -> str:
        return f"meteor|match:exact+porter|synonyms:no|alpha:0.9|beta:3|gamma:0.5|tok:{WORDS}|nltk:{version('nltk')}"
