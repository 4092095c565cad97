"""The report of an evaluation as one value: every figure, text and setting, frozen, to JSON and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tunesmith.errors import EvaluationError
from tunesmith.evaluate.answers import Contestant, TestRow
from tunesmith.evaluate.comparison import Comparison
from tunesmith.evaluate.gates.gate import GateVerdict
from tunesmith.evaluate.json_form import from_json, to_json
from tunesmith.evaluate.metric_result import MetricResult
from tunesmith.evaluate.selection import Selection


@dataclass(frozen=True)
class TrainingPoint:
    """One point of the training curve: losses in nats per trained token, None where there was none or no number."""

    step: int
    train_loss: float | None = None
    validation_loss: float | None = None
    tokens_per_second: float | None = None

    def __post_init__(self) -> None:
        # A loss that is not a number has no place in JSON; the gap in the curve shows it.
        for name in ("train_loss", "validation_loss", "tokens_per_second"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                object.__setattr__(self, name, None)


@dataclass(frozen=True)
class TrainingSummary:
    """How the tuned model came about."""

    curve: tuple[TrainingPoint, ...]
    num_examples: int | None = None
    num_steps: int | None = None
    minutes: float | None = None
    tokens_per_second: float | None = None
    label_tokens_per_second: float | None = None


@dataclass(frozen=True)
class ReportContext:
    """Everything around the scores: what was evaluated, from what, where, with which software.

    `model` and `dataset_version` name them with revision or content hash; `version` is the registered `name@N`, None
    until it is registered; `created_at` is ISO 8601 with time zone.
    """

    name: str
    model: str
    dataset_version: str
    recipe_hash: str
    created_at: str
    machine: dict[str, str]
    software: dict[str, str]
    training: TrainingSummary | None = None
    version: str | None = None
    chat_command: str | None = None


@dataclass(frozen=True)
class ScoredContestant:
    """A contestant with its answers and its metrics, in the order of the report."""

    contestant: Contestant
    results: tuple[MetricResult, ...]

    @property
    def name(self) -> str:
        """The contestant's name."""
        return self.contestant.name

    def result(self, metric: str) -> MetricResult:
        """One metric's result. Raises KeyError when it was not measured."""
        return next((result for result in self.results if result.name == metric), None) or _missing(metric)


@dataclass(frozen=True)
class EvaluationReport:
    """Base model, best prompt and tuned model on the same rows. `base` and `best_prompt` may be the same contestant.

    `settings` is the recipe's `evaluate` section, decoding included, as plain JSON.
    """

    context: ReportContext
    settings: dict[str, Any]
    rows: tuple[TestRow, ...]
    contestants: tuple[ScoredContestant, ...]
    base: str
    best_prompt: str
    tuned: str
    selection: Selection | None
    comparisons: tuple[Comparison, ...]
    verdicts: tuple[GateVerdict, ...]
    format: Literal[1] = 1

    @property
    def passed(self) -> bool:
        """Whether no gate failed."""
        return all(verdict.passed for verdict in self.verdicts)

    def contestant(self, name: str) -> ScoredContestant:
        """A contestant by name. Raises KeyError when there is none."""
        return next((one for one in self.contestants if one.name == name), None) or _missing(name)

    def comparison(self, metric: str, baseline: str) -> Comparison | None:
        """The tuned model against a baseline by one metric."""
        named = (c for c in self.comparisons if (c.metric, c.baseline) == (metric, baseline))
        return next(named, None)

    def registered_as(self, version: str, chat_command: str | None = None) -> EvaluationReport:
        """The same report, once its model has a version (`name@N`)."""
        return replace(self, context=replace(self.context, version=version, chat_command=chat_command))

    def to_json(self) -> bytes:
        """The report as JSON."""
        return to_json(self)


def read_report(path: Path) -> EvaluationReport:
    """Read `report.json`. Raises EvaluationError when it is missing or damaged."""
    try:
        document = path.read_bytes()
    except OSError as error:
        raise EvaluationError(
            f"the report cannot be read ({error.strerror})", where=str(path), fix="run `tunesmith evaluate` to write it"
        ) from None
    return from_json(EvaluationReport, document, where=str(path))


def _missing(name: str) -> Any:
    raise KeyError(name)
