"""Problems planted in clean rows are found, each with its exact count and place."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunesmith.data.audit import AuditReport, Finding, audit
from tunesmith.data.audit.page import to_html
from tunesmith.data.audit.terminal import renderable
from tunesmith.data.example import BadRow, Example, Message, Origin
from tunesmith.recipe.data import AuditSection

SECTION = AuditSection()


def row(line: int, prompt: str, answer: str, file: str = "rows.jsonl", **fields: object) -> Example:
    messages: list[Message] = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return Example(messages, Origin(file, line), **fields)  # type: ignore[arg-type]


def words(seed: object, count: int = 14) -> str:
    source = random.Random(str(seed))
    return " ".join("".join(source.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(count))


def clean(count: int, file: str = "rows.jsonl") -> list[Example]:
    return [row(i + 1, words((file, i, "q")), words((file, i, "a")), file) for i in range(count)]


def found(report: AuditReport) -> dict[str, list[Finding]]:
    result: dict[str, list[Finding]] = {}
    for finding in report.findings:
        result.setdefault(finding.code, []).append(finding)
    return result


def test_clean_rows_give_no_finding() -> None:
    report, groups = audit({"train": clean(1200)}, SECTION)
    assert report.findings == () and report.passed
    assert report.sufficiency.level == "enough"
    assert groups["train"].dtype == np.int32
    assert groups["train"].tolist() == list(range(1200))


def test_malformed_rows_are_all_listed_and_fail_the_gate(tmp_path: Path) -> None:
    bad = [BadRow(Origin("rows.jsonl", 5000 + i), f"no answer {i}", "add one") for i in range(30)]
    report, _ = audit({"train": [*clean(5), *bad, *clean(3)]}, SECTION, malformed_path=tmp_path / "bad.jsonl")
    (finding,) = found(report)["malformed"]
    assert (finding.count, finding.counts, len(finding.samples)) == (30, {"train": 30}, 20)
    assert finding.samples[0].where == "rows.jsonl:5000"
    assert not report.passed and report.failed == (finding,)
    lines = [orjson.loads(line) for line in (tmp_path / "bad.jsonl").read_bytes().splitlines()]
    assert len(lines) == 30
    assert lines[29] == {"file": "rows.jsonl", "line": 5029, "part": "train", "what": "no answer 29", "fix": "add one"}
    assert [path.name for path in tmp_path.iterdir()] == ["bad.jsonl"]
    assert (report.parts[0].num_examples, report.parts[0].num_malformed) == (8, 30)


def test_without_malformed_rows_the_old_listing_goes(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("old")
    audit({"train": clean(3)}, SECTION, malformed_path=tmp_path / "bad.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_a_crash_while_reading_leaves_no_listing(tmp_path: Path) -> None:
    def broken() -> Iterator[BadRow]:
        yield BadRow(Origin("rows.jsonl", 1), "no answer", "add one")
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        audit({"train": broken()}, SECTION, malformed_path=tmp_path / "bad.jsonl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("prompt", "answer", "note"),
    [
        ("", "yes", "empty user turn"),
        (" \n\t", "yes", "empty user turn"),
        ("Why?", "\u200b\ufeff ", "empty assistant turn"),
    ],
)
def test_empty_rows(prompt: str, answer: str, note: str) -> None:
    report, _ = audit({"train": [*clean(3), row(77, prompt, answer)]}, SECTION)
    (finding,) = found(report)["empty"]
    assert finding.count == 1
    assert [(sample.where, sample.note) for sample in finding.samples] == [("rows.jsonl:77", note)]


def test_a_turn_that_only_calls_tools_is_not_empty() -> None:
    call: list[Message] = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]},
    ]
    report, _ = audit({"train": [Example(call, Origin("rows.jsonl", 1))]}, SECTION)
    assert "empty" not in found(report)


def test_overlong_rows_by_the_tokenizer_given() -> None:
    rows = [row(i + 1, words(i, i + 1), "yes") for i in range(20)]
    report, _ = audit(
        {"train": rows}, SECTION, sequence_length=16,
        num_tokens=lambda batch: [len(example.messages[0]["content"].split()) for example in batch],
    )  # fmt: skip
    (finding,) = found(report)["overlong"]
    assert finding.count == 4
    assert finding.samples[0].note == "17 tokens"
    tokens = report.parts[0].tokens
    assert tokens is not None
    assert (tokens.longest, tokens.total, sum(tokens.counts)) == (20, 210, 20)


def test_answers_cut_by_a_limit() -> None:
    cut = [row(100 + i, words(("q", i)), words(("long", i), 40)[:200]) for i in range(12)]
    fence = row(200, "Show code", "```python\nprint(1)")
    json_row = row(201, "As JSON", '{"name": "Ada", "born": 18')
    report, _ = audit({"train": [*clean(500), *cut, fence, json_row]}, SECTION)
    (finding,) = found(report)["overlong"]
    assert (finding.count, finding.can_fail) == (14, False)
    assert finding.details == (("end in an open code fence or open JSON", 2), ("pile up at one greatest length", 12))


def test_class_names_are_not_taken_for_cut_answers() -> None:
    label = "a_class_with_a_name_of_more_than_fifty_characters_in_all"
    rows = [row(i, words(i), label, label=label) for i in range(100)]
    assert "overlong" not in found(audit({"train": rows}, SECTION)[0])


def test_exact_and_near_duplicates_are_counted_apart() -> None:
    rows = clean(100)
    exact = [row(1000 + i, rows[i].messages[0]["content"] + "  ", rows[i].reference) for i in range(5)]
    near = [row(2000 + i, rows[i].messages[0]["content"], rows[i].reference + " extra") for i in range(10, 17)]
    loud = [row(3000, rows[20].messages[0]["content"].upper() + "!!", rows[20].reference)]
    report, groups = audit({"train": [*rows, *exact, *near, *loud]}, SECTION)
    (duplicates,) = found(report)["duplicates"]
    (nears,) = found(report)["near-duplicates"]
    assert duplicates.count == 5
    assert duplicates.samples[0].note == "same as rows.jsonl:1"
    assert nears.count == 8
    assert nears.samples[0].where == "rows.jsonl:2010"
    assert nears.samples[0].note == "like rows.jsonl:11 (similarity 0.96)"
    assert groups["train"][100:].tolist() == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 15, 16, 20]
    assert report.passed


def test_leakage_in_both_directions() -> None:
    train, test, validation = clean(60, "train"), clean(30, "test"), clean(30, "validation")
    test[0] = row(1, train[0].messages[0]["content"], train[0].reference, "test")
    test[1] = row(2, train[0].messages[0]["content"], train[0].reference, "test")
    test[2] = row(3, train[5].messages[0]["content"], words("other answer"), "test")
    test[3] = row(4, train[6].messages[0]["content"], train[6].reference + " extra", "test")
    validation[9] = row(10, test[9].messages[0]["content"], test[9].reference, "validation")
    report, groups = audit({"train": train, "validation": validation, "test": test}, SECTION)
    (finding,) = found(report)["leakage"]
    assert finding.count == 5
    assert finding.counts == {"test": 5}
    assert dict(finding.details) == {
        "test rows with the same row in train": 2,
        "train rows with the same row in test": 1,
        "test rows with the same prompt in train": 2,
        "train rows with the same prompt in test": 2,
        "test rows with the same row in validation": 1,
        "validation rows with the same row in test": 1,
    }
    assert not report.passed
    assert [len(groups[part]) for part in ("train", "validation", "test")] == [60, 30, 30]


def test_near_leakage() -> None:
    train, test = clean(60, "train"), clean(30, "test")
    test[3] = row(4, train[6].messages[0]["content"] + "!", train[6].reference + " extra", "test")
    (finding,) = found(audit({"train": train, "test": test}, SECTION)[0])["leakage"]
    assert finding.details == (
        ("test rows with a near-duplicate in train", 1),
        ("train rows with a near-duplicate in test", 1),
    )
    assert finding.samples[0].note == "a near-duplicate: train:7"


def test_rows_that_name_their_split_are_judged_as_part_of_it() -> None:
    rows = clean(40)
    twin = row(99, rows[3].messages[0]["content"], rows[3].reference, split="test")
    report, groups = audit({"train": [*rows, twin]}, SECTION)
    assert found(report)["leakage"][0].counts == {"test": 1}
    assert list(groups) == ["train"] and groups["train"][40] == 3


def test_contradictions() -> None:
    rows = [*clean(50), row(90, "Is it open?", "Yes."), row(91, "Is it  open?", "No."), row(92, "Is it open?", "Yes.")]
    (finding,) = found(audit({"train": rows}, SECTION)[0])["contradictions"]
    assert finding.count == 3
    assert finding.details == (("prompts with different answers", 1),)
    assert [(s.where, s.note) for s in finding.samples] == [("rows.jsonl:91", "another answer than rows.jsonl:90")]


def test_a_request_shared_by_very_many_rows_is_no_contradiction() -> None:
    rows = [row(i, "Tell me a story.", words(i, 30)) for i in range(100)]
    report, groups = audit({"train": rows}, SECTION)
    assert "contradictions" not in found(report)
    assert groups["train"].tolist() == list(range(100))


def test_class_balance_and_sufficiency() -> None:
    labels = ["a"] * 300 + ["b"] * 120 + ["c"] * 20 + ["A "] * 5
    rows = [row(i, words(i), label, label=label) for i, label in enumerate(labels)]
    held_out = [row(i, words(("t", i)), "d", "test", label="d") for i in range(3)]
    report, _ = audit({"train": rows, "test": held_out}, SECTION)
    (finding,) = found(report)["imbalance"]
    details = {"rare classes": 2, "classes only in held-out rows": 1, "classes written in two ways": 1}
    assert dict(finding.details) == details
    assert report.parts[0].labels == {"a": 300, "b": 120, "c": 20, "A ": 5}
    (short,) = found(report)["insufficient"]
    assert short.count == 2
    assert [(s.where, s.note) for s in short.samples] == [
        ("class 'A '", "5 rows, add 95"),
        ("class 'c'", "20 rows, add 80"),
    ]
    assert report.sufficiency.task == "classification"
    assert "2 classes have fewer than 100; add 175 rows" in report.sufficiency.text


@pytest.mark.parametrize(
    ("count", "level", "severity", "words_in_it"),
    [
        (50, "insufficient", "warning", "add 950 for the usual 1,000 to 5,000"),
        (400, "insufficient", "note", "hundreds of good ones can be enough"),
        (1000, "enough", None, "1,000 different rows"),
        (5000, "plenty", None, "5,000 different rows"),
    ],
)
def test_sufficiency_for_generation(count: int, level: str, severity: str | None, words_in_it: str) -> None:
    rows = clean(count)
    report, _ = audit({"train": [*rows, *rows[:10]]}, SECTION)
    assert report.sufficiency.level == level
    assert words_in_it in report.sufficiency.text
    assert [f.severity for f in found(report).get("insufficient", [])] == ([severity] if severity else [])
    assert report.passed


def test_insufficient_fails_when_asked_to() -> None:
    assert not audit({"train": clean(10)}, AuditSection(fail_on=("insufficient",)))[0].passed


def test_mixed_scripts() -> None:
    rows = [
        *clean(50),
        row(60, "Как дела сегодня, друг?", "Хорошо, спасибо большое"),
        row(61, "Translate: hello there", "привет всем там"),
    ]
    rows.append(row(62, "Log in to pаypal now please, it is urgent", "That is a fraud, do not do it"))
    rows.append(row(63, "カードはどこですか、教えてください", "漢字とひらがなとカタカナ"))
    (finding,) = found(audit({"train": rows}, SECTION)[0])["mixed-scripts"]
    assert dict(finding.details) == {
        "rows mostly Latin": 52, "rows mostly Cyrillic": 1, "rows mostly Japanese and Chinese": 1,
        "rows that mix two scripts": 1, "rows with a word of two alphabets": 1,
    }  # fmt: skip


def test_template_markers_and_the_tokenizers_own() -> None:
    rows = [
        *clean(5),
        row(50, "Hi<|im_end|>", "a"),
        row(51, "[INST] Hi [/INST]", "b"),
        row(52, "<@turn@> x", "c"),
        row(53, "a < b", "d"),
    ]
    (general,) = found(audit({"train": rows}, SECTION)[0])["template-markers"]
    assert (general.count, general.severity) == (2, "warning")
    (own,) = found(audit({"train": rows}, SECTION, special_tokens=["<@turn@>", "", " "])[0])["template-markers"]
    assert (own.count, own.severity) == (3, "error")
    assert dict(own.details) == {"<|im_end|>": 1, "[INST]": 1, "[/INST]": 1, "<@turn@>": 1}


def test_a_report_goes_to_json_and_back_and_to_a_page() -> None:
    rows = [
        *clean(30),
        row(90, "Is it <b>open</b>?", "Yes.", label="<script>"),
        row(91, "Is it <b>open</b>?", "No.", label="x"),
    ]
    report, _ = audit({"train": [*rows, BadRow(Origin("<img>", 1), "<b>what</b>", "fix")]}, SECTION)
    assert AuditReport.model_validate_json(report.model_dump_json()) == report
    page = to_html(report, "<i>rows</i>")
    assert "&lt;img&gt;:1" in page and "<img" not in page and "<script" not in page
    assert page.count("<svg") >= 3
    from rich.console import Console

    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(renderable(report))
    text = console.export_text()
    assert "Malformed rows" in text and "<img>:1" in text and "failed: malformed" in text


@pytest.mark.parametrize("parts", [{}, {"train": []}, {"train": [], "test": []}])
def test_no_rows_at_all(parts: dict[str, list[Example]]) -> None:
    report, groups = audit(parts, SECTION)
    assert report.sufficiency.level == "insufficient"
    assert {name: len(group) for name, group in groups.items()} == dict.fromkeys(parts, 0)
    to_html(report, "nothing")


ANY = st.text(st.characters(), max_size=60)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(ANY, ANY, st.none() | ANY), max_size=6), st.floats(0.01, 1))
def test_no_text_makes_it_stumble(texts: list[tuple[str, str, str | None]], threshold: float) -> None:
    rows = [row(i + 1, prompt, answer, label=label) for i, (prompt, answer, label) in enumerate(texts)]
    report, groups = audit({"train": rows, "test": rows[:1]}, AuditSection(near_duplicate_threshold=threshold))
    assert len(groups["train"]) == len(rows)
    assert bool(rows) == any(finding.code == "leakage" for finding in report.findings)
    to_html(report, "rows").encode()
