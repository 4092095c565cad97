"""Share of answers that are JSON, and nothing but JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunesmith.evaluate.answers import Answer, TestRow
from tunesmith.evaluate.metrics.metric import Measured, Metric, means
from tunesmith.recipe.evaluate import EvaluateSection

NOT_JSON: Any = object()
"""What `parsed` returns for a text that is not JSON (`null` is JSON, so None cannot say it)."""


class JsonValid(Metric):
    """Strict RFC 8259, white space around it allowed: what a program can parse without mending.

    `details` counts the answers that would be JSON without the Markdown fence around them.
    """

    name = "json_valid"
    title = "Valid JSON"

    def measure(self, rows: Sequence[TestRow], answers: Sequence[Answer], section: EvaluateSection) -> Measured:
        scores = [float(parsed(answer.text) is not NOT_JSON) for answer in answers]
        num_fenced = sum(
            score == 0 and parsed(_unfenced(answer.text)) is not NOT_JSON
            for score, answer in zip(scores, answers, strict=True)
        )
        return self.measured(
            means(scores), scores, signature="json|RFC 8259, strict", details={"num_valid_but_fenced": num_fenced}
        )


def parsed(text: str) -> Any:
    """Parse a text as one JSON document, or return NOT_JSON."""
    import orjson

    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return NOT_JSON


def _unfenced(text: str) -> str:
    lines = text.strip().split("\n")
    fenced = len(lines) > 2 and lines[0].startswith("```") and lines[-1].strip() == "```"
    return "\n".join(lines[1:-1]) if fenced else text
