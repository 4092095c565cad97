"""What any model can do, the challenger must still be able to: text it was not trained on, and small tasks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunesmith.evaluate.answers import Answer, TestRow
from tunesmith.evaluate.compare import compare
from tunesmith.evaluate.comparison import Comparison
from tunesmith.evaluate.gates import GateVerdict
from tunesmith.evaluate.metrics import Measured
from tunesmith.evaluate.metrics.metric import Metric
from tunesmith.monitor.retrain.contest import CHALLENGER, Losses
from tunesmith.monitor.retrain.gates.gate import Gate, Shown
from tunesmith.recipe.evaluate import EvaluateSection


class NatsPerToken(Metric):  # type: ignore[misc]  # that floor is checked where it is called
    """Loss over all texts, each token counted once: the logarithm of perplexity."""

    name = "nats_per_token"
    title = "Loss"
    unit = "nats a token"
    maximum = None
    higher_is_better = False

    def measure(self, rows: Sequence[TestRow], answers: Sequence[Answer], section: EvaluateSection) -> Measured:
        return self.of([(answer.nll, answer.num_tokens) for answer in answers])

    def of(self, losses: Sequence[tuple[float, int]]) -> Measured:
        """The loss of texts whose nats and tokens are known."""
        sums = np.array(losses, dtype=np.float64)
        return self.measured(sums, (sums[:, 0] / sums[:, 1]).tolist(), signature="sum nats / sum tokens")


class GeneralAbility(Gate):
    """Passes when, on general text and on small tasks, the loss lies above the base model's by no more than
    `margin_general`, by the upper end of the interval."""

    name = "general-ability"

    def decide(self, shown: Shown) -> GateVerdict:
        margin, section = shown.gates.margin_general, shown.evaluate
        compared = {what: _compared(losses, section) for what, losses in
                    (("text", shown.answers.text), ("tasks", shown.answers.tasks))}  # fmt: skip
        figures = {what: _figures(found) for what, found in compared.items()}
        if unknown := [what for what, found in compared.items() if found.high is None]:
            note = compared[unknown[0]].note
            return self.verdict(False, f"cannot tell on general {unknown[0]}: {note}", margin=margin, **figures)
        worse = [what for what, found in compared.items() if (found.high or 0.0) > margin]
        told = "; ".join(
            f"general {what}: {found.candidate_value:.3f} nats a token, the base has {found.baseline_value:.3f}, "
            f"{found.difference:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
            for what, found in compared.items()
        )
        end = f"more than {margin:g} on {' and '.join(worse)}" if worse else f"within {margin:g}"
        return self.verdict(not worse, f"{told}; {end}", margin=margin, **figures)


def _compared(losses: Losses, section: EvaluateSection) -> Comparison:
    metric = NatsPerToken()
    return compare(
        metric,
        (CHALLENGER, metric.of(losses.challenger)),
        ("base model", metric.of(losses.base)),
        confidence=section.confidence,
        resamples=section.resamples,
    )


def _figures(found: Comparison) -> dict[str, float | int | None]:
    return {
        "num_rows": found.num_rows, "challenger": found.candidate_value, "base": found.baseline_value,
        "difference": found.difference, "low": found.low, "high": found.high,
    }  # fmt: skip
