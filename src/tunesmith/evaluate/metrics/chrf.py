"""Corpus chrF, computed and signed by sacrebleu."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunesmith.evaluate.answers import Answer, TestRow
from tunesmith.evaluate.metrics.metric import Floats, Measured, Metric
from tunesmith.recipe.evaluate import EvaluateSection

ORDERS = 6
BETA_SQUARED = 4


class Chrf(Metric):
    """chrF2 over all rows together (Popović 2015, W15-3049), 0 to 100: character 1- to 6-grams, recall counts double.

    Rows have sacrebleu's sentence chrF, for pairing wins and losses alone.
    """

    name = "chrf"
    title = "chrF"
    unit = "points of 100"
    maximum = 100.0

    def measure(self, rows: Sequence[TestRow], answers: Sequence[Answer], section: EvaluateSection) -> Measured:
        from sacrebleu.metrics import CHRF

        texts, references = [answer.text for answer in answers], [row.reference for row in rows]
        chrf = CHRF()
        value = chrf.corpus_score(texts, [references]).score
        signature = f"chrf|{chrf.get_signature()}"
        pairs = list(zip(texts, references, strict=True))
        return self.measured(
            np.array([_counts(text, wanted) for text, wanted in pairs], dtype=np.float64),
            [chrf.sentence_score(text, [wanted]).score for text, wanted in pairs],
            value=value,
            signature=signature,
        )

    def corpus(self, sums: Floats) -> Floats:
        """chrF of [..., 18] sums: n-grams of the answer, of the reference, and shared, for each order.

        Precision and recall are averaged over the orders both sides have, as sacrebleu does without epsilon smoothing.
        """
        answer, wanted, shared = np.moveaxis(sums.reshape(*sums.shape[:-1], ORDERS, 3), -1, 0)
        counted = (answer > 0) & (wanted > 0)
        num_orders = np.maximum(counted.sum(axis=-1), 1)
        precision = np.where(counted, shared / np.maximum(answer, 1), 0).sum(axis=-1) / num_orders
        recall = np.where(counted, shared / np.maximum(wanted, 1), 0).sum(axis=-1) / num_orders
        below = BETA_SQUARED * precision + recall
        return np.where(below > 0, 100 * (1 + BETA_SQUARED) * precision * recall / np.where(below > 0, below, 1), 0.0)


def _counts(text: str, reference: str) -> list[int]:
    """For each order: n-grams of the answer (0 where the reference has none), of the reference, and shared."""
    from sacrebleu.metrics.helpers import extract_all_char_ngrams

    counts: list[int] = []
    for given, wanted in zip(
        extract_all_char_ngrams(text, ORDERS), extract_all_char_ngrams(reference, ORDERS), strict=True
    ):
        counts += [given.total() if wanted else 0, wanted.total(), (given & wanted).total()]
    return counts
