"""How long the answers are beside the references."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunesmith.evaluate.answers import Answer, TestRow
from tunesmith.evaluate.metrics.metric import Floats, Measured, Metric
from tunesmith.evaluate.metrics.words import WORDS, words
from tunesmith.recipe.evaluate import EvaluateSection


class LengthRatio(Metric):
    """Words of all answers over words of all references: 1 is the length wanted, and neither side of it is better.

    Its own score counts a reference without words as one word. `details` has the share of answers cut off at the limit.
    """

    name = "length_ratio"
    title = "Length ratio"
    unit = "ratio"
    maximum = None
    higher_is_better = None

    def corpus(self, sums: Floats) -> Floats:
        return sums[..., 0] / np.maximum(sums[..., 1], 1)

    def measure(self, rows: Sequence[TestRow], answers: Sequence[Answer], section: EvaluateSection) -> Measured:
        counts = [
            (len(words(answer.text)), len(words(row.reference))) for row, answer in zip(rows, answers, strict=True)
        ]
        statistics = np.array(counts, dtype=np.float64)
        per_example = statistics[:, 0] / np.maximum(statistics[:, 1], 1)
        details = {
            "median": float(np.median(per_example)),
            "share_cut_off": sum(not answer.finished for answer in answers) / len(answers),
            "num_empty_answers": sum(not answer.text.strip() for answer in answers),
        }
        return self.measured(
            statistics, per_example.tolist(), signature=f"sum words / sum words|tok:{WORDS}", details=details
        )
