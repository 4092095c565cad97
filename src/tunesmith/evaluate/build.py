"""From answers to a report: measure, compare, decide. A pure function of its arguments."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.errors import EvaluationError
from tunesmith.evaluate.answers import Contestant, TestRow
from tunesmith.evaluate.compare import compare
from tunesmith.evaluate.comparison import Comparison
from tunesmith.evaluate.gates import Evidence, decide_all
from tunesmith.evaluate.metrics import METRICS, Measured, metric_names
from tunesmith.evaluate.result import EvaluationReport, ReportContext, ScoredContestant
from tunesmith.evaluate.selection import Selection
from tunesmith.recipe.evaluate import EvaluateSection, MetricName

Measurements = dict[str, dict[str, Measured]]


def build_report(
    rows: Sequence[TestRow],
    contestants: Sequence[Contestant],
    section: EvaluateSection,
    context: ReportContext,
    *,
    base: str,
    best_prompt: str,
    tuned: str,
    selection: Selection | None = None,
    seed: int = 0,
) -> EvaluationReport:
    """Measure every contestant on the test rows, compare the tuned one with base and best prompt, and ask the gates.

    `base`, `best_prompt` and `tuned` are names of contestants; the first two may be one. Raises EvaluationError when a
    name is missing or doubled, or when a contestant has not one answer for each row.
    """
    by_name = _by_name(rows, contestants, (base, best_prompt, tuned))
    names = metric_names(section)
    measurements: Measurements = {
        name: {metric: METRICS[metric].measure(rows, contestant.answers, section) for metric in names}
        for name, contestant in by_name.items()
    }
    comparisons = tuple(
        _compare(metric, tuned, baseline, measurements, section, seed)
        for baseline in dict.fromkeys((base, best_prompt))
        for metric in names
    )
    evidence = Evidence(by_name[base], by_name[best_prompt], by_name[tuned], comparisons, section.gate)
    return EvaluationReport(
        context=context,
        settings=section.model_dump(mode="json"),
        rows=tuple(rows),
        contestants=tuple(
            ScoredContestant(contestant, tuple(measured.result for measured in measurements[name].values()))
            for name, contestant in by_name.items()
        ),
        base=base,
        best_prompt=best_prompt,
        tuned=tuned,
        selection=selection,
        comparisons=comparisons,
        verdicts=decide_all(evidence),
    )


def _compare(
    metric: MetricName, tuned: str, baseline: str, measurements: Measurements, section: EvaluateSection, seed: int
) -> Comparison:
    return compare(
        METRICS[metric],
        (tuned, measurements[tuned][metric]),
        (baseline, measurements[baseline][metric]),
        confidence=section.confidence,
        resamples=section.resamples,
        seed=seed,
    )


def _by_name(
    rows: Sequence[TestRow], contestants: Sequence[Contestant], needed: Sequence[str]
) -> dict[str, Contestant]:
    by_name = {contestant.name: contestant for contestant in contestants}
    if len(by_name) < len(contestants):
        raise EvaluationError("two contestants have the same name", fix="give each prompt a name of its own")
    for name in needed:
        if name not in by_name:
            raise EvaluationError(f"there is no contestant '{name}'", fix=f"there are: {', '.join(by_name)}")
    if not rows:
        raise EvaluationError(
            "there is no row to test on", where="data.split.test", fix="hold out rows for the test split"
        )
    for contestant in contestants:
        if len(contestant.answers) != len(rows):
            raise EvaluationError(
                f"contestant '{contestant.name}' has {len(contestant.answers)} answers for {len(rows)} rows",
                fix="run `tunesmith evaluate` again; its answers are incomplete",
            )
    return by_name
