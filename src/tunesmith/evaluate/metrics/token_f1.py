"""Overlap of words between answer and reference, as SQuAD counts it."""

from __future__ import annotations

import unicodedata
from collections import Counter

from tunesmith.evaluate.metrics.metric import MeanMetric
from tunesmith.evaluate.metrics.words import WORDS, words

ARTICLES = frozenset({"a", "an", "the"})


class TokenF1(MeanMetric):
    """F1 of the bags of words, articles left out (Rajpurkar et al. 2016, arXiv:1606.05250, section 6.1).

    Differs from the original script in two ways: the punctuation of every script is removed, not only ASCII's, and
    in scripts without spaces, such as Chinese, each letter is a word. Two texts without words score 1, as in SQuAD 2.
    """

    name = "token_f1"
    title = "Token F1"

    def score(self, answer: str, reference: str) -> float:
        given, wanted = _bag(answer), _bag(reference)
        if not given or not wanted:
            return float(given == wanted)
        shared = (given & wanted).total()
        return 2 * shared / (given.total() + wanted.total())

    def signature(self) -> str:
        return f"squad|tok:{WORDS}|case:lower|articles:no"


def _bag(text: str) -> Counter[str]:
    # SQuAD deletes punctuation rather than splitting at it: "don't" is the word "dont".
    kept = "".join(char for char in text if not unicodedata.category(char).startswith("P"))
    return Counter(word for word in words(kept) if word not in ARTICLES)
