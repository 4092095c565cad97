"""Metrics: one file each, listed here. To add one, write its file, add a line below and its name to the recipe."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.errors import EvaluationError
from tunesmith.evaluate.answers import TestRow
from tunesmith.evaluate.metrics.bleu import Bleu
from tunesmith.evaluate.metrics.chrf import Chrf
from tunesmith.evaluate.metrics.exact_match import ExactMatch
from tunesmith.evaluate.metrics.json_schema import JsonSchema
from tunesmith.evaluate.metrics.json_valid import JsonValid
from tunesmith.evaluate.metrics.label_f1 import LabelF1
from tunesmith.evaluate.metrics.length_ratio import LengthRatio
from tunesmith.evaluate.metrics.meteor_es import MeteorExactStem
from tunesmith.evaluate.metrics.metric import Measured, Metric
from tunesmith.evaluate.metrics.perplexity import BitsPerByte, Perplexity
from tunesmith.evaluate.metrics.rouge import Rouge
from tunesmith.evaluate.metrics.token_f1 import TokenF1
from tunesmith.recipe.evaluate import EvaluateSection, MetricName

METRICS: dict[MetricName, Metric] = {
    "exact_match": ExactMatch(),
    "token_f1": TokenF1(),
    "label_f1": LabelF1(),
    "rouge1": Rouge("rouge1", "ROUGE-1"),
    "rouge2": Rouge("rouge2", "ROUGE-2"),
    "rougeL": Rouge("rougeL", "ROUGE-L"),
    "bleu": Bleu(),
    "chrf": Chrf(),
    "meteor_es": MeteorExactStem(),
    "perplexity": Perplexity(),
    "bits_per_byte": BitsPerByte(),
    "json_valid": JsonValid(),
    "json_schema": JsonSchema(),
    "length_ratio": LengthRatio(),
}

__all__ = ["METRICS", "Measured", "Metric", "check_metrics", "metric_names"]


def metric_names(section: EvaluateSection) -> tuple[MetricName, ...]:
    """Metrics of a report, in the recipe's order; the gate's is added when it is not among them."""
    return tuple(dict.fromkeys((*section.metrics, section.gate.metric)))


def check_metrics(rows: Sequence[TestRow], section: EvaluateSection) -> None:
    """Refuse rows and settings that some metric could not make sense of, before anything is generated.

    Raises EvaluationError.
    """
    if not rows:
        raise EvaluationError(
            "there is no row to test on",
            where="data.split.test",
            fix="hold out rows for the test split, or give data.test",
        )
    if METRICS[section.gate.metric].higher_is_better is None:
        raise EvaluationError(
            f"{section.gate.metric} describes answers without judging them, so it cannot decide",
            where="evaluate.gate.metric",
            fix="choose a metric with a better end, such as rougeL",
        )
    for name in metric_names(section):
        METRICS[name].check(rows, section)
