"""Gates: what passes, what fails, and with which words."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.unit.evaluate.made_up import answers_of, rows_of
from tunesmith.evaluate.answers import Answer, Contestant
from tunesmith.evaluate.compare import compare
from tunesmith.evaluate.comparison import Comparison
from tunesmith.evaluate.gates import GATES, Decision, Evidence, decide_all
from tunesmith.evaluate.metrics import METRICS
from tunesmith.recipe.evaluate import EvaluateSection, GateSection, MetricName

REFERENCES = [f"one two three four {n}" for n in range(20)]
WORSE = [f"one {n}" for n in range(20)]
BETTER = [text if n % 2 else f"one two {n}" for n, text in enumerate(REFERENCES)]


def evidence(
    tuned: Sequence[Answer], best: Sequence[Answer], base: Sequence[Answer], gate: GateSection | None = None
) -> Evidence:
    gate = gate or GateSection()
    rows, section, metric = rows_of(REFERENCES[: len(tuned)]), EvaluateSection(gate=gate), METRICS[gate.metric]
    sides = {"tuned": tuned, "best": best, "base": base}
    measured = {name: metric.measure(rows, answers, section) for name, answers in sides.items()}
    comparisons = tuple(
        compare(metric, ("tuned", measured["tuned"]), (name, measured[name]), resamples=300)
        for name in ("best", "base")
    )
    contestants = [Contestant(name, "prompt", "", tuple(answers)) for name, answers in sides.items()]
    return Evidence(contestants[2], contestants[1], contestants[0], comparisons, gate)


def test_a_clear_gain_passes_every_gate() -> None:
    verdicts = decide_all(evidence(answers_of(BETTER), answers_of(WORSE), answers_of(WORSE)))
    assert [verdict.name for verdict in verdicts] == list(GATES)
    assert all(verdict.decision is Decision.PASS and verdict.passed for verdict in verdicts)
    beats = verdicts[-1]
    assert beats.reason.startswith("ROUGE-L over the best prompt (best): improvement +0.")
    assert beats.reason.endswith("its lower end lies above the margin of 0")
    assert beats.evidence["low"] > 0
    assert beats.evidence["num_rows"] == 20


@pytest.mark.parametrize(("margin", "passed"), [(-0.5, True), (0.0, True), (0.9, False)])
def test_the_lower_end_must_lie_above_the_margin(margin: float, passed: bool) -> None:
    given = evidence(answers_of(BETTER), answers_of(WORSE), answers_of(WORSE), GateSection(margin=margin))
    verdict = GATES["beats-best-prompt"].decide(given)
    assert verdict.passed is passed
    assert (verdict.evidence["low"] > margin) is passed


def test_a_gain_that_chance_could_make_fails() -> None:
    tuned = [text if n != 4 else REFERENCES[4] for n, text in enumerate(WORSE)]
    verdict = GATES["beats-best-prompt"].decide(evidence(answers_of(tuned), answers_of(WORSE), answers_of(WORSE)))
    assert verdict.evidence["improvement"] > 0
    assert verdict.decision is Decision.FAIL
    assert "does not lie above the margin of 0" in verdict.reason


@pytest.mark.parametrize("metric", ["perplexity", "bits_per_byte"])
def test_where_lower_is_better_a_fall_passes_and_a_rise_fails(metric: MetricName) -> None:
    low = tuple(Answer("x", 4.0 + n / 10, 5, 20, True) for n in range(20))
    high = tuple(Answer("y", 9.0 + n / 7, 5, 20, True) for n in range(20))
    gate = GateSection(metric=metric)
    assert GATES["beats-best-prompt"].decide(evidence(low, high, high, gate)).passed
    assert not GATES["beats-best-prompt"].decide(evidence(high, low, low, gate)).passed


def test_too_few_rows_fail_with_the_reason() -> None:
    verdict = GATES["beats-best-prompt"].decide(
        evidence(answers_of(BETTER[:5]), answers_of(WORSE[:5]), answers_of(WORSE[:5]))
    )
    assert verdict.decision is Decision.FAIL
    assert verdict.reason == "ROUGE-L cannot decide: no interval from 5 rows: at least 10 are needed"


def test_a_metric_that_does_not_judge_cannot_decide() -> None:
    gate = GateSection(metric="length_ratio")
    verdict = GATES["beats-best-prompt"].decide(
        evidence(answers_of(BETTER), answers_of(WORSE), answers_of(WORSE), gate)
    )
    assert (verdict.passed, verdict.reason) == (False, "Length ratio describes answers without judging them")


def test_a_missing_comparison_fails() -> None:
    given = replace(evidence(answers_of(BETTER), answers_of(WORSE), answers_of(WORSE)), comparisons=())
    verdict = GATES["beats-best-prompt"].decide(given)
    assert (verdict.passed, verdict.reason) == (False, "rougeL was not compared with the best prompt")


def test_an_adapter_without_effect_fails() -> None:
    verdict = GATES["not-identical-to-base"].decide(evidence(answers_of(WORSE), answers_of(BETTER), answers_of(WORSE)))
    assert verdict.decision is Decision.FAIL
    assert verdict.reason == (
        "all 20 answers equal the base's, and every loss as well: "
        "the adapter had no effect, so it was not loaded or never learned"
    )
    assert verdict.evidence == {"num_rows": 20, "num_equal_answers": 20, "num_equal_losses": 20}


def test_an_adapter_that_moves_losses_but_no_answer_fails_with_another_reason() -> None:
    given = evidence(answers_of(WORSE, nll=9.0), answers_of(BETTER), answers_of(WORSE, nll=10.0))
    verdict = GATES["not-identical-to-base"].decide(given)
    assert verdict.decision is Decision.FAIL
    assert "though losses differ" in verdict.reason


def test_one_changed_character_is_an_effect() -> None:
    tuned = answers_of([*WORSE[:-1], WORSE[-1] + "."])
    verdict = GATES["not-identical-to-base"].decide(evidence(tuned, answers_of(BETTER), answers_of(WORSE)))
    assert (verdict.passed, verdict.reason) == (True, "1 of 20 answers differ from the base's")


@pytest.mark.parametrize(
    ("num_cut_tuned", "num_cut_base", "decision"),
    [
        (20, 0, Decision.FAIL), (20, 20, Decision.FAIL), (19, 3, Decision.WARN), (11, 11, Decision.PASS),
        (10, 0, Decision.PASS), (0, 20, Decision.PASS),
    ],
)  # fmt: skip
def test_answers_that_never_end(num_cut_tuned: int, num_cut_base: int, decision: Decision) -> None:
    def cut(texts: list[str], number: int) -> tuple[Answer, ...]:
        return (*answers_of(texts[:number], finished=False), *answers_of(texts[number:]))

    given = evidence(cut(BETTER, num_cut_tuned), answers_of(WORSE), cut(WORSE, num_cut_base))
    verdict = GATES["no-truncation-collapse"].decide(given)
    assert verdict.decision is decision
    assert verdict.passed is (decision is not Decision.FAIL)
    assert verdict.reason.startswith(
        f"{num_cut_tuned} of 20 answers were cut off at the length limit (base: {num_cut_base})"
    )


def test_verdicts_are_logged_with_their_reason(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        decide_all(evidence(answers_of(BETTER), answers_of(WORSE), answers_of(WORSE)))
    assert "gate not-identical-to-base: pass, 20 of 20 answers differ from the base's" in caplog.messages


def test_improvement_turns_the_interval_round() -> None:
    comparison = Comparison(
        metric="perplexity", title="Perplexity", candidate="tuned", baseline="base", candidate_value=2.0,
        baseline_value=3.0, difference=-1.0, low=-1.5, high=-0.25, confidence=0.95, method="bca", p_value=0.01, wins=3,
        ties=0, losses=1, num_rows=4, higher_is_better=False, resamples=10, seed=0, note="",
    )  # fmt: skip
    assert (comparison.improvement, comparison.improvement_low, comparison.improvement_high) == (1.0, 0.25, 1.5)
