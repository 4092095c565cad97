"""F1 of classification answers, averaged over labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunesmith.errors import EvaluationError
from tunesmith.evaluate.answers import Answer, TestRow
from tunesmith.evaluate.metrics.metric import Floats, Measured, Metric
from tunesmith.recipe.evaluate import EvaluateSection

MIN_ROWS_TO_JUDGE = 20
MAX_LABELS_PER_ROW = 0.5
QUOTES = "\"'`“”‘’«» "


class LabelF1(Metric):
    """Macro F1: the F1 of each label, averaged with equal weight; `details` has micro F1, accuracy and every label.

    The labels are the distinct reference answers. Answer and label are compared in lower case, white space collapsed,
    quotes and final punctuation dropped. An answer that is no label is a miss for the row's label and a false alarm for
    none, as in scikit-learn's `f1_score(labels=reference_labels)`.
    """

    name = "label_f1"
    title = "Label F1 (macro)"
    smooth = False  # a label with few rows appears and disappears between resamples

    def check(self, rows: Sequence[TestRow], section: EvaluateSection) -> None:
        num_labels = len({_plain(row.reference) for row in rows})
        if len(rows) >= MIN_ROWS_TO_JUDGE and num_labels > MAX_LABELS_PER_ROW * len(rows):
            raise EvaluationError(
                f"label_f1 is for classes, and {num_labels} of {len(rows)} test answers are distinct",
                where="evaluate.metrics",
                fix="use token_f1 or rougeL for free text, or test on more rows of each class",
            )

    def measure(self, rows: Sequence[TestRow], answers: Sequence[Answer], section: EvaluateSection) -> Measured:
        wanted = [_plain(row.reference) for row in rows]
        given = [_plain(answer.text) for answer in answers]
        labels = {label: column for column, label in enumerate(dict.fromkeys(wanted))}
        statistics = np.zeros((len(rows), 3, len(labels)))  # right, wanted, given
        for number, (want, give) in enumerate(zip(wanted, given, strict=True)):
            statistics[number, 1, labels[want]] = 1
            if give in labels:
                statistics[number, 2, labels[give]] = 1
            if give == want:
                statistics[number, 0, labels[want]] = 1
        right = [float(want == give) for want, give in zip(wanted, given, strict=True)]
        details = _details(statistics.sum(axis=0), list(labels), len(rows))
        return self.measured(
            statistics.reshape(len(rows), -1), right, signature="macro-f1|labels:reference|case:lower", details=details
        )

    def corpus(self, sums: Floats) -> Floats:
        """Macro F1 over the labels that occur in the references of the resample."""
        right, wanted, given = np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, 0)
        f1 = 2 * right / np.maximum(wanted + given, 1)
        present = wanted > 0
        return np.where(present, f1, 0).sum(axis=-1) / np.maximum(present.sum(axis=-1), 1)


def _details(counts: Floats, labels: list[str], num_rows: int) -> dict[str, object]:
    right, wanted, given = counts
    total_right, total_wanted, total_given = float(right.sum()), float(wanted.sum()), float(given.sum())
    return {
        "micro_f1": 2 * total_right / (total_wanted + total_given),
        "accuracy": total_right / num_rows,
        "num_answers_no_label": int(num_rows - total_given),
        "labels": [
            {
                "label": label,
                "precision": float(right[i] / max(given[i], 1)),
                "recall": float(right[i] / max(wanted[i], 1)),
                "f1": float(2 * right[i] / (wanted[i] + given[i])),
                "num_rows": int(wanted[i]),
            }
            for i, label in enumerate(labels)
        ],
    }


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).lstrip(QUOTES).rstrip(QUOTES + ".!,;:。")
