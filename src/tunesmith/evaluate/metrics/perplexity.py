"""How surprised the model is by the reference answers: perplexity per token, bits per byte."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tunesmith.errors import EvaluationError
from tunesmith.evaluate.answers import Answer, TestRow
from tunesmith.evaluate.metrics.metric import Floats, Measured, Metric
from tunesmith.recipe.evaluate import EvaluateSection

MAX_NATS_PER_TOKEN = 100.0
"""A uniform guess over a vocabulary of a million is 14 nats; far above it the loss is broken."""

ROUNDING = 0.01
"""A loss of nothing may come out this much below zero in bfloat16."""


class Perplexity(Metric):
    """exp(nats / tokens), summed over all rows: each token of a reference answer counts once, the prompt not at all.

    Comparable only between contestants with the same tokenizer.
    """

    name = "perplexity"
    title = "Perplexity"
    unit = "choices a token"
    maximum = None
    higher_is_better = False

    def corpus(self, sums: Floats) -> Floats:
        return np.exp(sums[..., 0] / sums[..., 1])

    def measure(self, rows: Sequence[TestRow], answers: Sequence[Answer], section: EvaluateSection) -> Measured:
        losses = answer_losses(rows, answers)
        per_example = np.exp(losses[:, 0] / losses[:, 1])
        return self.measured(
            losses[:, :2], per_example.tolist(), signature="exp(sum nats / sum tokens)|answer tokens only"
        )


class BitsPerByte(Metric):
    """nats / ln 2 / bytes, both summed over all rows: comparable between tokenizers, unlike perplexity.

    A row with an empty reference adds the cost of ending the turn and no byte; its own score counts one byte.
    """

    name = "bits_per_byte"
    title = "Bits per byte"
    unit = "bits a byte"
    maximum = None
    higher_is_better = False

    def check(self, rows: Sequence[TestRow], section: EvaluateSection) -> None:
        if not any(row.reference for row in rows):
            raise EvaluationError(
                "every reference answer is empty, so there is no byte to score",
                where="evaluate.metrics",
                fix="drop bits_per_byte, or test on rows with answers",
            )

    def measure(self, rows: Sequence[TestRow], answers: Sequence[Answer], section: EvaluateSection) -> Measured:
        losses = answer_losses(rows, answers)
        bits, num_bytes = losses[:, 0] / math.log(2), losses[:, 2]
        per_example = bits / np.maximum(num_bytes, 1)
        statistics = np.column_stack([bits, num_bytes])
        return self.measured(statistics, per_example.tolist(), signature="sum bits / sum UTF-8 bytes|answer only")

    def corpus(self, sums: Floats) -> Floats:
        return sums[..., 0] / np.maximum(sums[..., 1], 1)  # a resample may draw empty references alone


def answer_losses(rows: Sequence[TestRow], answers: Sequence[Answer]) -> Floats:
    """Losses [rows, 3]: nats, tokens and bytes of each reference answer.

    Raises EvaluationError for a row without tokens or with a loss no language model has.
    """
    for row, answer in zip(rows, answers, strict=True):
        if answer.num_tokens < 1:
            raise EvaluationError(
                "the reference answer has no token to score",
                where=row.origin,
                fix="drop perplexity and bits_per_byte from evaluate.metrics, or give the row an answer",
            )
        if not math.isfinite(answer.nll) or not -ROUNDING <= answer.nll <= MAX_NATS_PER_TOKEN * answer.num_tokens:
            raise EvaluationError(
                f"the loss of the reference answer is {answer.nll:g} nats over {answer.num_tokens} tokens, "
                "which no working model gives",
                where=row.origin,
                fix="try model.dtype: float32; if that changes nothing, the weights are damaged",
            )
    return np.array([[answer.nll, answer.num_tokens, answer.num_bytes] for answer in answers], dtype=np.float64)
