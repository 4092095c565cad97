"""The report: built from answers, written, read back, and the prompt that it reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.evaluate.made_up import answers_of, context, report_of, rows_of, varied_report
from tunesmith.errors import EvaluationError
from tunesmith.evaluate.answers import Answer, Contestant, TestRow
from tunesmith.evaluate.build import build_report
from tunesmith.evaluate.json_form import from_json, to_json
from tunesmith.evaluate.render import write_report
from tunesmith.evaluate.result import EvaluationReport, TrainingPoint, read_report
from tunesmith.evaluate.selection import choose_prompt
from tunesmith.recipe.evaluate import EvaluateSection, GateSection

ODD = ['Ünï "quoted" \\ back', "line\nbreak\ttab \x00\x1b[31m", "返回 🏴‍☠️ \u202e", ""]


def test_a_contestant_survives_json() -> None:
    answers = tuple(Answer(text, 1 / 3, 3, 9, finished=bool(n % 2)) for n, text in enumerate(ODD))
    contestant = Contestant("3-shot", "prompt", ODD[0], answers)
    assert from_json(Contestant, to_json(contestant), "answers.json") == contestant


def test_a_row_survives_json() -> None:
    for text in ODD:
        row = TestRow(text, text, None, "rows.jsonl:3")
        assert from_json(TestRow, to_json(row), "rows.json") == row


def test_half_a_character_becomes_a_question_mark() -> None:
    assert TestRow("a\ud800b", "\udfff", None, "x:1").prompt_text == "a?b"
    assert Answer("a\ud800", 1.0, 1, 1, True).text == "a?"


def test_a_report_survives_json() -> None:
    report = varied_report()
    assert from_json(EvaluationReport, report.to_json(), "report.json") == report


def test_a_report_holds_every_part() -> None:
    report = varied_report()
    assert [one.name for one in report.contestants] == ["zero-shot", "3-shot", "tuned"]
    metrics = ["rougeL", "exact_match", "perplexity", "length_ratio"]
    for one in report.contestants:
        assert [result.name for result in one.results] == metrics
        assert all(len(result.per_example) == 12 for result in one.results)
        assert all(result.signature for result in one.results)
    pairs = [(c.baseline, c.metric) for c in report.comparisons]
    assert pairs == [(baseline, metric) for baseline in ("zero-shot", "3-shot") for metric in metrics]
    assert len(report.verdicts) == 3
    assert report.passed
    assert report.settings["decoding"]["max_new_tokens"] == 128
    assert report.comparison("rougeL", "3-shot") is not None
    assert report.comparison("rougeL", "nobody") is None
    training = report.context.training
    assert training is not None
    assert training.curve[1] == TrainingPoint(2, train_loss=None, validation_loss=2.1)


def test_a_report_gets_its_version_after_registration() -> None:
    report = varied_report().registered_as("functions@3", "tunesmith chat functions@3")
    assert (report.context.version, report.context.chat_command) == ("functions@3", "tunesmith chat functions@3")


def test_the_best_prompt_may_be_the_base_itself() -> None:
    references = [f"one two {n}" for n in range(12)]
    contestants = [
        Contestant("zero-shot", "prompt", "", answers_of(["two"] * 12)),
        Contestant("tuned", "tuned", "", answers_of(references)),
    ]
    section = EvaluateSection(metrics=("rougeL",), resamples=200)
    names = {"base": "zero-shot", "best_prompt": "zero-shot", "tuned": "tuned"}
    report = build_report(rows_of(references), contestants, section, context(), **names)
    assert [comparison.baseline for comparison in report.comparisons] == ["zero-shot"]
    assert report.passed


def test_equal_answers_fail_the_report() -> None:
    texts = [f"one {n}" for n in range(12)]
    report = report_of([f"{text} two" for text in texts], texts, texts, texts)
    assert not report.passed
    assert [verdict.name for verdict in report.verdicts if not verdict.passed] == [
        "not-identical-to-base",
        "beats-best-prompt",
    ]


BUILD_MISTAKES: list[tuple[dict[str, object], str]] = [
    ({"tuned": "who"}, "there is no contestant 'who'\n  fix: there are: zero-shot, tuned"),
    ({"rows": []}, "data.split.test: there is no row to test on\n  fix: hold out rows for the test split"),
    (
        {"rows": rows_of(["a", "b"])},
        "contestant 'zero-shot' has 3 answers for 2 rows\n  fix: run `tunesmith evaluate` again; "
        "its answers are incomplete",
    ),
    (
        {"contestants": [Contestant("zero-shot", "prompt", "", ())] * 2},
        "two contestants have the same name\n  fix: give each prompt a name of its own",
    ),
]


@pytest.mark.parametrize(("change", "message"), BUILD_MISTAKES)
def test_what_cannot_be_built_is_said(change: dict[str, object], message: str) -> None:
    contestants = [Contestant(name, "prompt", "", answers_of(["x"] * 3)) for name in ("zero-shot", "tuned")]
    arguments: dict[str, object] = {
        "rows": rows_of(["a", "b", "c"]), "contestants": contestants, "section": EvaluateSection(),
        "context": context(),
        "base": "zero-shot", "best_prompt": "zero-shot", "tuned": "tuned",
    }  # fmt: skip
    with pytest.raises(EvaluationError) as caught:
        build_report(**{**arguments, **change})  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_reports_are_written_whole_and_read_back(tmp_path: Path) -> None:
    report = varied_report()
    page = write_report(report, tmp_path / "new" / "evaluation")
    assert page.name == "report.html"
    assert sorted(path.name for path in page.parent.iterdir()) == ["report.html", "report.json", "report.md"]
    assert read_report(page.parent / "report.json") == report


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EvaluationError) as caught:
        write_report(varied_report(), tmp_path / "file")
    assert str(caught.value).startswith(f"{tmp_path / 'file'}: the report cannot be written (File exists)")


def _without(field: str) -> Callable[[dict[str, object]], object]:
    return lambda document: document.pop(field)


DAMAGE: list[tuple[str, Callable[[dict[str, object]], object], str]] = [
    ("a newer format", lambda d: d.update(format=2), "format is not as an evaluation writes it (Input should be 1)"),
    ("no rows", _without("rows"), "rows is not as an evaluation writes it (Field required)"),
    ("a word for a number", lambda d: d["comparisons"][0].update(low="many"),  # type: ignore[index]
     "comparisons.0.low is not as an evaluation writes it (Input should be a valid number)"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "message"), [case[1:] for case in DAMAGE], ids=[case[0] for case in DAMAGE])
def test_a_damaged_report_names_the_field(
    tmp_path: Path, damage: Callable[[dict[str, object]], object], message: str
) -> None:
    document = json.loads(varied_report().to_json())
    damage(document)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(document))
    with pytest.raises(EvaluationError) as caught:
        read_report(path)
    assert str(caught.value) == f"{path}: {message}\n  fix: run `tunesmith evaluate` again to write it anew"


def test_a_report_that_is_cut_off_or_missing_is_said(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(varied_report().to_json()[:500])
    with pytest.raises(EvaluationError, match="the document is not as an evaluation writes it"):
        read_report(path)
    with pytest.raises(EvaluationError, match="the report cannot be read"):
        read_report(tmp_path / "nothing.json")


def test_the_best_prompt_is_chosen_on_validation_rows_by_the_gates_metric() -> None:
    rows = rows_of(["one two three", "four five six"])
    prompts = [
        Contestant("zero-shot", "prompt", "as it is", answers_of(["one", "four"], nll=9.0)),
        Contestant("3-shot", "prompt", "three examples", answers_of(["one two", "four five"], nll=7.0)),
        Contestant("terse", "prompt", "be terse", answers_of(["two one", "five four"], nll=5.0)),
    ]
    selection = choose_prompt(rows, prompts, EvaluateSection())
    assert selection.best == "3-shot"
    assert [tried.value for tried in selection.tried] == pytest.approx([0.5, 0.8, 0.4])
    assert (selection.num_rows, selection.title) == (2, "ROUGE-L")
    # Lower is better for perplexity, and of equals the first is kept.
    assert choose_prompt(rows, prompts, EvaluateSection(gate=GateSection(metric="perplexity"))).best == "terse"
    assert choose_prompt(rows, prompts, EvaluateSection(gate=GateSection(metric="exact_match"))).best == "zero-shot"


def test_no_prompt_and_no_judgement_are_said() -> None:
    with pytest.raises(EvaluationError, match="there is no prompt to compare with"):
        choose_prompt(rows_of(["a"]), [], EvaluateSection())
    prompt = Contestant("zero-shot", "prompt", "", answers_of(["a"]))
    with pytest.raises(EvaluationError, match="cannot choose a prompt"):
        choose_prompt(rows_of(["a"]), [prompt], EvaluateSection(gate=GateSection(metric="length_ratio")))
