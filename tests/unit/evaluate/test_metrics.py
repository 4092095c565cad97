"""Each metric against an independent reference: the library called directly, a published example, or by hand."""

from __future__ import annotations

import collections
import math
import re
import string

import numpy as np
import pytest

from tests.unit.evaluate.made_up import SCHEMA, answers_of, measure, rows_of, value
from tunesmith.errors import EvaluationError
from tunesmith.evaluate.answers import Answer
from tunesmith.evaluate.metrics import METRICS, check_metrics, metric_names
from tunesmith.recipe.evaluate import EvaluateSection, GateSection, MetricName

REFERENCES = [
    "Return the number of open files.", "Parse a date, in ISO 8601 form, from a string.", "The cat sat on the mat.",
    "Raise ValueError when the name isn't known.", "Close the connection",
]  # fmt: skip
ANSWERS = [
    "Returns the number of files that are open.", "Parse a string", "The cat sat on the mat.", "",
    "closes a connection to the server",
]  # fmt: skip
IDENTICAL = {
    "Cyrillic": ["Возвращает число открытых файлов.", "Читает дату из строки и проверяет её."],
    "Chinese": ["返回打开文件的数量。", "从字符串中读取日期并检查它。"],
    "Japanese": ["開いているファイルの数を返す。", "文字列から日付を読み取る。"],
    "Hindi": ["खुली फ़ाइलों की संख्या लौटाता है।", "स्ट्रिंग से तारीख पढ़ता है और जाँचता है।"],
    "Thai": ["คืนจำนวนไฟล์ที่เปิดอยู่", "อ่านวันที่จากสตริง"],
    "Arabic": ["يعيد عدد الملفات المفتوحة الآن", "يقرأ التاريخ من السلسلة ثم يتحقق منه"],
}


def test_the_recipe_and_the_table_name_the_same_metrics() -> None:
    assert set(METRICS) == set(MetricName.__args__)  # type: ignore[attr-defined]
    assert all(metric.name == name for name, metric in METRICS.items())


def squad_f1(answer: str, reference: str) -> float:
    """The official SQuAD 2.0 computation, written out from its description."""

    def tokens(text: str) -> list[str]:
        text = "".join(char for char in text.lower() if char not in set(string.punctuation))
        return re.sub(r"\b(a|an|the)\b", " ", text).split()

    given, wanted = tokens(answer), tokens(reference)
    if not given or not wanted:
        return float(given == wanted)
    shared = sum((collections.Counter(given) & collections.Counter(wanted)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(given), shared / len(wanted)
    return 2 * precision * recall / (precision + recall)


def test_token_f1_is_squads() -> None:
    result = measure("token_f1", ANSWERS, REFERENCES).result
    expected = [squad_f1(answer, reference) for answer, reference in zip(ANSWERS, REFERENCES, strict=True)]
    assert result.per_example == pytest.approx(expected)
    assert result.value == pytest.approx(sum(expected) / 5)
    assert 0 < result.value < 1


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL"])
def test_rouge_is_rouge_scores_own_on_ascii(name: str) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer([name])
    expected = [scorer.score(r, a)[name].fmeasure for a, r in zip(ANSWERS, REFERENCES, strict=True)]
    assert measure(name, ANSWERS, REFERENCES).result.per_example == pytest.approx(expected)


@pytest.mark.parametrize("texts", IDENTICAL.values(), ids=IDENTICAL.keys())
@pytest.mark.parametrize("name", ["exact_match", "token_f1", "label_f1", "rouge1", "rouge2", "rougeL", "bleu", "chrf"])
def test_equal_texts_of_any_script_have_the_best_value(name: str, texts: list[str]) -> None:
    assert value(name, texts, texts) == pytest.approx(METRICS[name].maximum)


def test_words_of_scripts_without_spaces_earn_partial_credit() -> None:
    # Three of four characters are right; as one word without spaces nothing would be.
    assert value("rouge1", ["返回数字"], ["返回数量"]) == pytest.approx(0.75)
    assert 0 < value("bleu", ["返回打开文件的数字。"], ["返回打开文件的数量。"]) < 100


def test_bleu_is_sacrebleus_corpus_score_and_keeps_its_signature() -> None:
    import sacrebleu

    result = measure("bleu", ANSWERS, REFERENCES).result
    assert result.value == pytest.approx(sacrebleu.corpus_bleu(ANSWERS, [REFERENCES]).score)
    expected = [sacrebleu.sentence_bleu(a, [r]).score for a, r in zip(ANSWERS, REFERENCES, strict=True)]
    assert result.per_example == pytest.approx(expected)
    assert result.value != pytest.approx(sum(expected) / 5, abs=0.1)
    assert result.signature == f"bleu|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{sacrebleu.__version__}"


def test_chrf_is_sacrebleus_corpus_score_and_keeps_its_signature() -> None:
    import sacrebleu

    result = measure("chrf", ANSWERS, REFERENCES).result
    assert result.value == pytest.approx(sacrebleu.corpus_chrf(ANSWERS, [REFERENCES]).score)
    expected = [sacrebleu.sentence_chrf(a, [r]).score for a, r in zip(ANSWERS, REFERENCES, strict=True)]
    assert result.per_example == pytest.approx(expected)
    assert result.signature == f"chrf|nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:{sacrebleu.__version__}"


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_sums_of_a_resample_score_as_sacrebleu_scores_its_rows(name: str) -> None:
    import sacrebleu

    direct = {"bleu": sacrebleu.corpus_bleu, "chrf": sacrebleu.corpus_chrf}[name]
    answers = [*ANSWERS, "", "no word shared", "Close", "Parse a date, in ISO 8601 form"]
    references = [*REFERENCES, "", "something else entirely", "Close", "Parse a date, in ISO 8601 form, from bytes"]
    statistics = measure(name, answers, references).statistics
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(answers), (200, 3))  # three rows: degenerate corpora come up often
    values = METRICS[name].corpus(statistics[drawn].sum(axis=1))
    for rows, found in zip(drawn, values, strict=True):
        expected = direct([answers[row] for row in rows], [[references[row] for row in rows]]).score
        assert found == pytest.approx(expected, abs=1e-9)
    assert len(set(values.round(6))) > 20


def test_meteor_equals_nltks_documented_example_where_no_synonym_matters() -> None:
    answer = "It is a guide to action which ensures that the military always obeys the commands of the party"
    reference = "It is a guide to action that ensures that the military will forever heed Party commands"
    assert value("meteor_es", [answer], [reference]) == pytest.approx(0.6944, abs=5e-5)


def test_meteor_by_hand_matches_stems() -> None:
    # 3 matches (cats ~ cat): precision 1, recall 3/4, F = 10PR / (R + 9P), one chunk: penalty 0.5 (1/3)^3.
    f_mean = 10 * 1 * 0.75 / (0.75 + 9 * 1)
    assert value("meteor_es", ["The cats sat"], ["the cat sat on"]) == pytest.approx(f_mean * (1 - 0.5 / 27))


def test_meteor_of_equal_texts_is_charged_for_their_one_chunk() -> None:
    assert value("meteor_es", ["返回数量"], ["返回数量"]) == pytest.approx(1 - 0.5 / 4**3)


def test_label_f1_on_scikit_learns_published_example() -> None:
    # f1_score's documentation: y_true = [0, 1, 2, 0, 1, 2], y_pred = [0, 2, 1, 0, 0, 1]: macro 0.26..., micro 0.33...
    result = measure("label_f1", ["0", "2", "1", "0", "0", "1"], ["0", "1", "2", "0", "1", "2"]).result
    assert result.value == pytest.approx(0.8 / 3)
    assert result.details["micro_f1"] == pytest.approx(1 / 3)
    assert [one["f1"] for one in result.details["labels"]] == pytest.approx([0.8, 0, 0])


def test_label_f1_counts_answers_that_are_no_label_as_misses() -> None:
    result = measure("label_f1", [" 'Yes'. ", "perhaps", "NO", "no"], ["yes", "yes", "no", "no"]).result
    # yes: precision 1, recall 1/2; no: 1. Micro: 3 right of 3 given and 4 wanted.
    assert result.value == pytest.approx((2 / 3 + 1) / 2)
    assert result.details["micro_f1"] == pytest.approx(6 / 7)
    assert (result.details["accuracy"], result.details["num_answers_no_label"]) == (0.75, 1)


def test_label_f1_of_a_resample_is_over_the_labels_in_it() -> None:
    measured = measure("label_f1", ["a", "b", "a", "c"], ["a", "b", "c", "c"])
    only_b = measured.statistics[[1, 1, 1]].sum(axis=0)
    assert METRICS["label_f1"].corpus(only_b) == 1


def test_exact_match_keeps_case_and_forgives_white_space_and_composition() -> None:
    texts = ["Yes", "yes", " Yes\n", "caf\u00e9 x", "Yes."]
    references = ["Yes", "Yes", "Yes", "cafe\u0301   x", "Yes"]
    assert measure("exact_match", texts, references).result.per_example == (1, 0, 1, 1, 0)


def test_perplexity_weighs_tokens_not_rows() -> None:
    answers = (Answer("", 2.0, 1, 4, True), Answer("", 9.0, 9, 16, True))
    result = METRICS["perplexity"].measure(rows_of(["a", "b"]), answers, EvaluateSection()).result
    assert result.value == pytest.approx(math.exp(11 / 10))
    assert result.per_example == pytest.approx((math.exp(2), math.e))
    assert result.higher_is_better is False


def test_bits_per_byte_weighs_bytes() -> None:
    answers = (
        Answer("", math.log(2) * 8, 1, 4, True),
        Answer("", math.log(2) * 2, 9, 16, True),
        Answer("", 0.7, 1, 0, True),
    )
    rows = rows_of(["abcd", "x" * 16, ""])
    result = METRICS["bits_per_byte"].measure(rows, answers, EvaluateSection()).result
    assert result.value == pytest.approx((8 + 2 + 0.7 / math.log(2)) / 20)
    assert result.per_example == pytest.approx((2, 2 / 16, 0.7 / math.log(2)))


def test_length_ratio_is_of_sums_and_counts_what_was_cut() -> None:
    answers = (*answers_of(["one two three four"], finished=False), *answers_of(["", "one"]))
    result = METRICS["length_ratio"].measure(rows_of(["one two", "one", "one"]), answers, EvaluateSection()).result
    assert result.value == pytest.approx(5 / 4)
    assert result.per_example == (2, 0, 1)
    assert result.details == {"median": 1.0, "share_cut_off": pytest.approx(1 / 3), "num_empty_answers": 1}


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ('{"a": 1}', 1), (" [1, 2.5e3] \n", 1), ("null", 1), ('"text"', 1), ("", 0),
        ("{'a': 1}", 0), ('{"a": 1,}', 0),
        ("NaN", 0), ('{"a": 1} and more', 0), ('```json\n{"a": 1}\n```', 0), ("[" * 5000 + "]" * 5000, 0),
        ("9" * 6000, 0),
        ('"\\ud800"', 0), ("{" * 100, 0),
    ],
)  # fmt: skip
def test_json_is_what_a_strict_parser_takes(text: str, valid: int) -> None:
    result = measure("json_valid", [text], ["{}"]).result
    assert result.value == valid
    assert result.details["num_valid_but_fenced"] == int(text.startswith("```"))


def test_schema_compliance_and_fields() -> None:
    references = ['{"a": 1, "tags": ["x", "y"]}', '{"a": 2}', "no json", '{"a": 3, "b": {}}']
    texts = ['{"a": 1.0, "tags": ["y", "z"]}', '{"a": "2"}', '{"a": 1}', "broken"]
    result = measure("json_schema", texts, references).result
    assert result.per_example == (1, 0, 1, 0)
    # Fields wanted 3 + 1 + 2, given 3 + 1 + 0, right: a and tags y.
    assert result.details["field_precision"] == pytest.approx(2 / 4)
    assert result.details["field_recall"] == pytest.approx(2 / 6)
    assert result.details["field_f1"] == pytest.approx(4 / 10)
    assert result.details["num_references_not_json"] == 1


@pytest.mark.parametrize("name", METRICS)
def test_empty_answers_have_a_finite_value(name: str) -> None:
    result = measure(name, ["", " ", "\n"], ["one", "two words", "[1]"]).result
    assert all(map(math.isfinite, (result.value, *result.per_example)))
    if METRICS[name].maximum:
        assert result.value == 0


@pytest.mark.parametrize("name", METRICS)
def test_empty_references_have_a_finite_value(name: str) -> None:
    result = measure(name, ["", "words", ""], ["", "", "words"]).result
    assert all(map(math.isfinite, (result.value, *result.per_example)))


@pytest.mark.parametrize("name", METRICS)
def test_the_value_follows_from_the_statistics(name: str) -> None:
    measured = measure(name, ANSWERS, REFERENCES)
    assert float(METRICS[name].corpus(measured.statistics.sum(axis=0))) == pytest.approx(measured.result.value)


def test_the_gates_metric_is_always_measured_and_none_twice() -> None:
    section = EvaluateSection(metrics=("chrf", "bleu", "chrf"), gate=GateSection(metric="rougeL"))
    assert metric_names(section) == ("chrf", "bleu", "rougeL")


MISTAKES = [
    (
        [], {},
        "data.split.test: there is no row to test on\n  fix: hold out rows for the test split, or give data.test",
    ),
    (
        ["a"], {"gate": {"metric": "length_ratio"}},
        "evaluate.gate.metric: length_ratio describes answers without judging them, so it cannot decide\n"
        "  fix: choose a metric with a better end, such as rougeL",
    ),
    (
        ["a"], {"metrics": ["json_schema"]},
        "evaluate.json_schema: metric json_schema has no schema to check against\n"
        "  fix: give the schema there, or drop json_schema from evaluate.metrics",
    ),
    (
        ["a"], {"metrics": ["json_schema"], "json_schema": {"type": "strin"}},
        "evaluate.json_schema: this is not a JSON schema: "
        "\"strin\" is not valid under any of the schemas listed in the 'anyOf' keyword\n"
        "  fix: mend it; references must lie inside the schema, nothing is fetched",
    ),
    (
        [f"answer {n}" for n in range(30)], {"metrics": ["label_f1"]},
        "evaluate.metrics: label_f1 is for classes, and 30 of 30 test answers are distinct\n"
        "  fix: use token_f1 or rougeL for free text, or test on more rows of each class",
    ),
    (
        ["", ""], {"metrics": ["bits_per_byte"]},
        "evaluate.metrics: every reference answer is empty, so there is no byte to score\n"
        "  fix: drop bits_per_byte, or test on rows with answers",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("references", "settings", "message"), MISTAKES)
def test_senseless_settings_are_refused_before_anything_is_generated(
    references: list[str], settings: dict[str, object], message: str
) -> None:
    with pytest.raises(EvaluationError) as caught:
        check_metrics(rows_of(references), EvaluateSection.model_validate(settings))
    assert str(caught.value) == message


def test_a_schema_may_not_send_us_to_the_network() -> None:
    section = EvaluateSection(metrics=("json_schema",), json_schema={"$ref": "http://localhost:9/schema.json"})
    with pytest.raises(EvaluationError, match=r"this is not a JSON schema: .*disabled"):
        check_metrics(rows_of(["{}"]), section)


@pytest.mark.parametrize(
    ("nll", "num_tokens", "message"),
    [
        (float("nan"), 3, "rows.jsonl:2: the loss of the reference answer is nan nats over 3 tokens, which no working"),
        (float("inf"), 3, "rows.jsonl:2: the loss of the reference answer is inf nats over 3 tokens, which no working"),
        (-4.0, 3, "rows.jsonl:2: the loss of the reference answer is -4 nats over 3 tokens, which no working"),
        (0.0, 0, "rows.jsonl:2: the reference answer has no token to score"),
    ],
)
@pytest.mark.parametrize("name", ["perplexity", "bits_per_byte"])
def test_a_broken_loss_names_its_row(name: str, nll: float, num_tokens: int, message: str) -> None:
    answers = (*answers_of(["x"]), Answer("x", nll, num_tokens, 1, True))
    with pytest.raises(EvaluationError) as caught:
        METRICS[name].measure(rows_of(["a", "b"]), answers, EvaluateSection())  # type: ignore[index]
    assert str(caught.value).startswith(message)


def test_a_schema_is_checked_with_its_formats() -> None:
    section = EvaluateSection(json_schema={"type": "string", "format": "date"})
    result = measure("json_schema", ['"2026-11-22"', '"soon"'], ["{}", "{}"], section).result
    assert result.per_example == (1, 0)
    assert SCHEMA["type"] == "object"
