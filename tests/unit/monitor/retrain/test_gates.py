"""Gates: what passes, what fails and says why, and that one that cannot tell fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from tunesmith.errors import DataError
from tunesmith.evaluate.answers import Answer, Contestant, TestRow
from tunesmith.evaluate.gates import Decision, GateVerdict
from tunesmith.monitor.retrain.contest import Answers, Losses, Rivals
from tunesmith.monitor.retrain.gates import GATES, Shown
from tunesmith.monitor.retrain.gates.before import data_audit, within_budget
from tunesmith.monitor.retrain.general import passages, tasks
from tunesmith.monitor.retrain.journal import Retrain, Step
from tunesmith.monitor.retrain.trail import trail_lines, trail_page
from tunesmith.recipe.budget import BudgetSection
from tunesmith.recipe.evaluate import EvaluateSection
from tunesmith.recipe.retrain import GatesSection
from tunesmith.train.expected import Expected

EVALUATE = EvaluateSection.model_validate({"gate": {"metric": "exact_match"}, "resamples": 500})
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def rivals(champion: Sequence[bool], challenger: Sequence[bool], text: str = "right") -> Rivals:
    """Rows whose answer is `right`, and who said so."""
    rows = tuple(TestRow(f"user: question {n}", "right", None, f"rows:{n}") for n in range(len(champion)))

    def contestant(name: str, good: Sequence[bool]) -> Contestant:
        said = tuple(Answer(text if one else "wrong", 1.0, 2, 5, True) for one in good)
        return Contestant(name, "tuned", name, said)

    return Rivals(rows, contestant("champion", champion), contestant("challenger", challenger))


NOBODY = Rivals((), None, None)
SAME = Losses(tuple((30.0 + n, 10) for n in range(20)), tuple((30.0 + n, 10) for n in range(20)))


def ask(gate: str, gates: GatesSection | None = None, **changes: Any) -> GateVerdict:
    answers = Answers(rivals([False] * 30, [True] * 30), rivals([True] * 30, [True] * 30), SAME, SAME)
    return GATES[gate].decide(Shown(replace(answers, **changes), EVALUATE, gates or GatesSection()))


def test_the_champion_is_beaten_by_more_than_chance_or_not_at_all() -> None:
    assert ask("beats-champion").passed
    level = ask("beats-champion", new=rivals([True, False] * 15, [False, True] * 15))
    assert not level.passed and "its lower end does not lie above zero" in level.reason
    assert level.evidence["num_rows"] == 30 and level.evidence["wins"] == level.evidence["losses"] == 15
    lucky = ask("beats-champion", new=rivals([False] * 28 + [True] * 2, [True] * 3 + [False] * 25 + [True, False]))
    assert not lucky.passed and lucky.evidence["improvement"] > 0


@pytest.mark.parametrize("gate", ["beats-champion", "old-rows"])
@pytest.mark.parametrize(
    ("few", "why"), [(NOBODY, "there are no rows"), (rivals([False] * 9, [True] * 9), "no interval from 9 rows")]
)
def test_a_gate_that_cannot_tell_fails_and_says_why(gate: str, few: Rivals, why: str) -> None:
    found = ask(gate, new=few, old=few)
    assert found.decision is Decision.FAIL and "cannot tell" in found.reason and why in found.reason


def test_what_was_known_may_not_be_forgotten() -> None:
    good = [True] * 60
    assert ask("old-rows", old=rivals(good, good)).passed
    worse = ask("old-rows", old=rivals(good, [True] * 40 + [False] * 20))
    assert not worse.passed and worse.evidence["improvement"] == pytest.approx(-1 / 3)
    assert ask("old-rows", GatesSection(margin_old=0.6), old=rivals(good, [True] * 40 + [False] * 20)).passed


def test_general_ability_is_held_to_the_base_on_text_and_on_tasks() -> None:
    assert ask("general-ability").passed
    worse = Losses(SAME.base, tuple((nats + 3, tokens) for nats, tokens in SAME.base))  # 0.3 nats a token
    found = ask("general-ability", tasks=worse)
    assert not found.passed and found.reason.endswith("more than 0.1 on tasks")
    assert found.evidence["tasks"]["difference"] == pytest.approx(0.3)
    assert ask("general-ability", GatesSection(margin_general=0.31), tasks=worse).passed
    assert "on text and tasks" in ask("general-ability", text=worse, tasks=worse).reason


def test_a_blocked_word_stops_it_unless_the_question_holds_it() -> None:
    words = GatesSection(blocked_words=("damn",))
    assert ask("safe-words").passed and ask("safe-words", words).passed
    rude = rivals([True] * 12, [True] * 12, text="well, DAMN it")
    found = ask("safe-words", words, new=rude)
    assert not found.passed and found.evidence["num_found"] == 12 and found.evidence["rows"][0]["row"] == "rows:0"
    asked = replace(rude, rows=tuple(replace(row, prompt_text="user: is damn a word?") for row in rude.rows))
    assert ask("safe-words", words, new=asked).passed
    assert ask("safe-words", words, new=rivals([True] * 12, [True] * 12, text="damnation")).passed
    assert not ask("safe-words", words, new=NOBODY, old=NOBODY).passed


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("bad word", "a bad\nword"), ("bad word", "a bad \u00a0 word"), ("caf\u00e9", "the cafe\u0301!"),
        ("Stra\u00dfe", "in der STRASSE"), ("Strasse", "in der Stra\u00dfe"), ("damn", "oh da\u00admn"),
        ("damn", "oh d\u200bamn"), ("damn", "oh \uff24\uff21\uff2d\uff2e"), ("\u0130stanbul", "i\u0307stanbul"),
    ],
)  # fmt: skip
def test_a_blocked_word_is_found_however_it_is_written(word: str, said: str) -> None:
    words = GatesSection(blocked_words=(word,))
    rude = rivals([True] * 12, [True] * 12, text=said)
    assert not ask("safe-words", words, new=rude).passed
    asked = replace(rude, rows=tuple(replace(row, prompt_text=f"user: {said}") for row in rude.rows))
    assert ask("safe-words", words, new=asked).passed


def test_a_word_of_the_system_message_is_no_excuse() -> None:
    words = GatesSection(blocked_words=("damn",))
    rude = rivals([True] * 12, [True] * 12, text="damn it")
    told = "system: never say\n\ndamn\n\nuser: what\n\nis it\n\nassistant: damn\n\nuser: again"
    asked = replace(rude, rows=tuple(replace(row, prompt_text=told) for row in rude.rows))
    assert not ask("safe-words", words, new=asked).passed
    later = replace(rude, rows=tuple(replace(row, prompt_text=f"{told}\n\nor damn") for row in rude.rows))
    assert ask("safe-words", words, new=later).passed


def test_what_is_shown_of_an_answer_is_redacted() -> None:
    rude = rivals([True] * 12, [True] * 12, text="damn, write to ann.smith@acme-corp.de")
    (row, *_) = ask("safe-words", GatesSection(blocked_words=("damn",)), new=rude).evidence["rows"]
    assert "ann.smith" not in row["answer"] and row["answer"].startswith("damn, write to [")


@pytest.mark.parametrize("word", ["", "  ", "\u00ad", "\n"])
def test_an_empty_word_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="an empty word is in every answer"):
        GatesSection(blocked_words=("damn", word))


def expected(**changes: Any) -> Expected:
    whole = Expected("here", "fits", False, 1, 0.1, 7200.0, Decimal("3.5"), 60.0, Decimal("0.1"), "assumed")
    return replace(whole, **changes)


@pytest.mark.parametrize(
    ("plan", "budget", "decision"),
    [
        (expected(), BudgetSection(), Decision.PASS),
        (expected(), BudgetSection(max_usd=3.6, max_hours=2.1), Decision.PASS),
        (expected(), BudgetSection(max_usd=3.4), Decision.FAIL),
        (expected(), BudgetSection(max_hours=1.9), Decision.FAIL),
        (expected(verdict="OOM"), BudgetSection(), Decision.FAIL),
        (expected(usd=Decimal("Infinity"), seconds=float("inf")), BudgetSection(max_usd=5), Decision.FAIL),
        (None, BudgetSection(), Decision.WARN),
        (None, BudgetSection(max_usd=5), Decision.FAIL),
    ],
)
def test_a_plan_is_held_to_its_budget(plan: Expected | None, budget: BudgetSection, decision: Decision) -> None:
    found = within_budget(plan, budget)
    assert found.decision is decision and found.reason


def test_the_audit_gate_says_what_the_audit_says(tmp_path: Any) -> None:
    refused = data_audit(DataError("the audit refuses the data: 3 rows", where="new-train.jsonl:2", fix="mend them"))
    assert not refused.passed and refused.evidence == {"where": "new-train.jsonl:2", "fix": "mend them"}
    dataset = SimpleNamespace(
        version="abc", folder=tmp_path, counts=lambda part: {"examples": 7}, manifest={"findings": {"duplicates": 2}}
    )
    passed = data_audit(SimpleNamespace(dataset=dataset))  # type: ignore[arg-type]
    assert passed.passed and "2 duplicates" in passed.reason


def test_general_text_and_tasks_are_there_without_a_network() -> None:
    texts, questions = passages(40), tasks()
    assert len(texts) == len(set(texts)) == 40 and all(200 <= len(text) <= 600 for text in texts)
    assert len({row.messages[0]["content"] for row in questions}) == len(questions) > 140
    assert all(row.reference and row.messages[0]["content"] for row in questions)
    assert passages(40) == texts


def test_the_trail_is_one_page_that_shows_every_gate_and_runs_nothing() -> None:
    state = {"next": "finish", "champion": "story@1", "why": "drift <b>", "end": "stopped", "because": "old-rows"}
    retrain = Retrain("story", 3, False, 5, state, NOW, NOW)
    steps = [
        Step("decision", NOW, "start", "1 of 1 triggers ask for it", {"triggers": [{"name": "drift", "fired": True}]}),
        Step("collect", NOW, "done", "rows: 10 new train", {"rows": {"new train": 10}}),
        Step("old-rows", NOW, "fail", "<script>alert(1)</script> worse", {"improvement": -0.2, "rows": [{"a": None}]}),
        Step("finish", NOW, "done", "stopped: old-rows", {}),
    ]
    page = trail_page(retrain, steps)
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert all(text in page for text in ("story retrain 3", "old-rows", "-0.2", "10 new train", "1 of 1 triggers"))
    lines = list(trail_lines(retrain, steps))
    assert lines[0] == "story retrain 3: stopped: old-rows" and any("✘ old-rows" in line for line in lines)
