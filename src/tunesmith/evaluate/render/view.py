"""What all three renderings show, worked out once: the scoreboard, the sentences, the samples."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.evaluate.comparison import Comparison
from tunesmith.evaluate.metric_result import MetricResult
from tunesmith.evaluate.result import EvaluationReport, ScoredContestant
from tunesmith.report.legible import number, one_line, probability, signed

SAMPLES_OF_EACH_KIND = 3


@dataclass(frozen=True)
class Column:
    """A contestant that has a column, and the part it plays."""

    part: str
    contestant: ScoredContestant

    @property
    def heading(self) -> str:
        """Part and name, once when they are the same."""
        name = one_line(self.contestant.name, 40)
        return self.part if name == self.part else f"{self.part}: {name}"


@dataclass(frozen=True)
class Sample:
    """A row worth looking at, and why it was picked."""

    number: int
    kind: str
    difference: float


def columns(report: EvaluationReport) -> tuple[Column, ...]:
    """Base, best prompt and tuned; two columns when the best prompt is the base's own."""
    base, tuned = report.contestant(report.base), report.contestant(report.tuned)
    if report.base == report.best_prompt:
        return (Column("base and best prompt", base), Column("tuned", tuned))
    return (Column("base", base), Column("best prompt", report.contestant(report.best_prompt)), Column("tuned", tuned))


def metrics(report: EvaluationReport) -> tuple[MetricResult, ...]:
    """The tuned model's results, in the order of the report."""
    return report.contestant(report.tuned).results


def direction(result: MetricResult) -> str:
    """Title with an arrow to the better end."""
    arrow = {True: " ↑", False: " ↓", None: ""}[result.higher_is_better]
    return f"{result.title}{arrow}"


def difference(comparison: Comparison | None, maximum: float | None) -> str:
    """Difference with its interval in one cell."""
    if comparison is None:
        return "–"
    middle = signed(comparison.difference, maximum)
    if comparison.low is None or comparison.high is None:
        return middle
    return f"{middle} [{signed(comparison.low, maximum)}, {signed(comparison.high, maximum)}]"


def outcome(comparison: Comparison) -> str:
    """What the interval says, in words."""
    low, high = comparison.improvement_low, comparison.improvement_high
    if low is None or high is None:
        return "too few rows"
    if low <= 0 <= high:
        return "no clear difference"
    if comparison.higher_is_better is None:
        return "larger" if low > 0 else "smaller"
    return "better" if low > 0 else "worse"


def comparison_rows(report: EvaluationReport, baseline: str) -> list[tuple[str, ...]]:
    """One row a metric: title, difference with interval, outcome, p, wins / ties / losses."""
    rows: list[tuple[str, ...]] = []
    for result in metrics(report):
        if found := report.comparison(result.name, baseline):
            tally = f"{found.wins} / {found.ties} / {found.losses}"
            interval = difference(found, result.maximum)
            rows.append((direction(result), interval, outcome(found), probability(found.p_value), tally))
    return rows


def score_rows(report: EvaluationReport) -> list[tuple[str, ...]]:
    """One row a metric: title and the value of each column."""
    shown = columns(report)
    return [
        (direction(result), *(number(c.contestant.result(result.name).value, result.maximum) for c in shown))
        for result in metrics(report)
    ]


def notes(report: EvaluationReport) -> tuple[str, ...]:
    """Cautions of the comparisons, each once, with the metrics it is about unless it is about all."""
    about: dict[str, list[str]] = {}
    for comparison in report.comparisons:
        about.setdefault(comparison.note, []).append(comparison.title)
    return tuple(
        f"{note}." if len(titles) == len(report.comparisons) else f"{note} ({', '.join(dict.fromkeys(titles))})."
        for note, titles in about.items()
        if note
    )


def headline(report: EvaluationReport) -> str:
    """The result in a sentence."""
    failed = [verdict.name for verdict in report.verdicts if not verdict.passed]
    if failed:
        return f"Not passed: {', '.join(failed)}."
    return f"Passed: better than the best prompt on {len(report.rows)} held-out rows."


def facts(report: EvaluationReport) -> list[tuple[str, str]]:
    """What was evaluated, with what, where: names and values."""
    context, training = report.context, report.context.training
    found = [
        ("Model", context.model),
        ("Version", context.version or "not registered"),
        ("Dataset version", context.dataset_version),
        ("Test rows", f"{len(report.rows):,}"),
    ]
    if training and training.minutes is not None:
        found.append(("Training", f"{training.minutes:.1f} minutes"))
    if training and training.tokens_per_second is not None:
        found.append(("Training speed", f"{training.tokens_per_second:,.0f} tokens/s"))
    if training and training.num_examples is not None:
        found.append(("Training examples", f"{training.num_examples:,}"))
    return found


def provenance(report: EvaluationReport) -> list[tuple[str, str]]:
    """What it takes to make the report again."""
    context = report.context
    decoding = report.settings.get("decoding") or {}
    return [
        ("recipe", f"{context.name} ({context.recipe_hash})"),
        ("made at", context.created_at),
        *((f"decoding: {name}", str(value)) for name, value in decoding.items()),
        *((f"machine: {name}", value) for name, value in context.machine.items()),
        *((f"software: {name}", value) for name, value in context.software.items()),
        *((f"signature: {result.title}", result.signature) for result in metrics(report)),
    ]


def samples(report: EvaluationReport, seed: int = 0) -> list[Sample]:
    """Rows where the tuned model gained most on the best prompt, lost most, and some drawn at random, none twice."""
    gains = _gains(report)
    order = sorted(range(len(gains)), key=lambda row: (-gains[row], row))
    best = [row for row in order[:SAMPLES_OF_EACH_KIND] if gains[row] > 0]
    worst = [row for row in order[: -SAMPLES_OF_EACH_KIND - 1 : -1] if gains[row] < 0]
    rest = [row for row in range(len(gains)) if row not in {*best, *worst}]
    drawn = random.Random(seed).sample(rest, min(SAMPLES_OF_EACH_KIND, len(rest)))
    kinds = (("largest gain", best), ("largest loss", worst), ("drawn at random", drawn))
    return [Sample(row, kind, gains[row]) for kind, rows in kinds for row in rows]


def _gains(report: EvaluationReport) -> Sequence[float]:
    metric = deciding_metric(report)
    ours = report.contestant(report.tuned).result(metric.name).per_example
    theirs = report.contestant(report.best_prompt).result(metric.name).per_example
    sign = -1 if metric.higher_is_better is False else 1
    return [sign * (a - b) for a, b in zip(ours, theirs, strict=True)]


def deciding_metric(report: EvaluationReport) -> MetricResult:
    """The metric the gate decides by; the first one of a report whose settings name none."""
    wanted = (report.settings.get("gate") or {}).get("metric")
    return next((result for result in metrics(report) if result.name == wanted), metrics(report)[0])
