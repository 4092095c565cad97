"""Which prompt is best: tried on the validation rows, so that the test rows have no say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.errors import EvaluationError
from tunesmith.evaluate.answers import Contestant, TestRow
from tunesmith.recipe.evaluate import EvaluateSection


@dataclass(frozen=True)
class TriedPrompt:
    """A prompt's score on the validation rows."""

    name: str
    description: str
    value: float


@dataclass(frozen=True)
class Selection:
    """All prompts that were tried, in the order given, and the one chosen."""

    metric: str
    title: str
    num_rows: int
    tried: tuple[TriedPrompt, ...]
    best: str


def choose_prompt(rows: Sequence[TestRow], prompts: Sequence[Contestant], section: EvaluateSection) -> Selection:
    """Choose the prompt with the best value of the gate's metric on validation rows; of equals the first.

    Raises EvaluationError when there is no prompt, or the metric does not judge.
    """
    from tunesmith.evaluate.metrics import METRICS

    metric = METRICS[section.gate.metric]
    if not prompts:
        raise EvaluationError(
            "there is no prompt to compare with",
            where="evaluate.prompts",
            fix="set zero_shot: true, or give few_shot or instructions",
        )
    if metric.higher_is_better is None:
        raise EvaluationError(
            f"{metric.name} describes answers without judging them, so it cannot choose a prompt",
            where="evaluate.gate.metric",
            fix="choose a metric with a better end, such as rougeL",
        )
    tried = tuple(
        TriedPrompt(prompt.name, prompt.description, metric.measure(rows, prompt.answers, section).result.value)
        for prompt in prompts
    )
    sign = 1 if metric.higher_is_better else -1
    best = max(tried, key=lambda prompt: sign * prompt.value)  # max keeps the first of equals
    return Selection(metric.name, metric.title, len(rows), tried, best.name)
