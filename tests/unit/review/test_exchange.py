"""Items and ratings leave and come back whole, as JSON lines and by way of Label Studio."""

from __future__ import annotations

import json
import xml.etree.ElementTree as xml
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.review.conftest import Clock, pair, single
from tunesmith.errors import DataError
from tunesmith.review.exchange import Brought
from tunesmith.review.exchange.bring import bring
from tunesmith.review.exchange.jsonl import lines_of, read_lines
from tunesmith.review.exchange.label_studio import labelling_config, read_tasks, tasks_of
from tunesmith.review.item import Answer, NewItem
from tunesmith.review.reviews import Reviews
from tunesmith.review.rubric import Rubric, Scale
from tunesmith.store.database import Database

RUBRIC = Rubric(scales=(Scale(name="style"), Scale(name="tone", low=0, high=3)), scales_on_pairs=True)


@pytest.fixture
def filled(reviews: Reviews) -> Reviews:
    same = NewItem("summaries", "pair", [{"role": "user", "content": "é"}], [Answer("a", "same"), Answer("b", "same")])
    ids = reviews.add([pair(1, priority=0.5), pair(2, gold="old"), single(3, gold={"style": 4}), same])
    reviews.set_rubric("summaries", RUBRIC)
    for item in ids[:2]:
        reviews.rate(item, "ann@example.com", "old", {"new": {"style": 2, "tone": 0}}, "Better.\nYes.", 12.5)
        reviews.rate(item, "bob@example.com", "tie")
        reviews.rate(item, "cid@example.com", "unsure")
    reviews.rate(ids[2], "ann@example.com", scales={"new": {"style": 5, "tone": 3}})
    reviews.rate(ids[3], "ann@example.com", "b")
    return reviews


def by_item(reviews: Reviews) -> dict[str, list[Any]]:
    return {
        one.id: [said for said in reviews.ratings("summaries") if said.item == one.id]
        for one in reviews.items("summaries")
    }


def through_lines(reviews: Reviews) -> list[Brought]:
    return read_lines(list(lines_of(reviews.items("summaries"), by_item(reviews))), "rows.jsonl")


def through_label_studio(reviews: Reviews) -> list[Brought]:
    tasks = list(tasks_of(reviews.items("summaries"), by_item(reviews), RUBRIC))
    return read_tasks(json.dumps(tasks), "tasks.json")


@pytest.mark.parametrize("through", [through_lines, through_label_studio])
def test_everything_comes_back(filled: Reviews, tmp_path: Path, through: Callable[[Reviews], list[Brought]]) -> None:
    other = Reviews(Database.open(f"sqlite:///{tmp_path}/other.db"), Clock())
    other.set_rubric("summaries", RUBRIC)
    brought = through(filled)
    other.add([one.item for one in brought])
    assert other.bring_in(said for one in brought for said in one.ratings) == 8
    assert other.ratings("summaries") == filled.ratings("summaries")
    assert [(one.id, one.gold, one.priority) for one in other.items("summaries")] == [
        (one.id, one.gold, one.priority) for one in filled.items("summaries")
    ]


def test_a_task_is_as_label_studio_writes_one(filled: Reviews) -> None:
    """Against an annotation of its documentation, with what its tags Pairwise, Rating, Number and TextArea write."""
    tasks = {task["data"]["prompt"]: task for task in tasks_of(filled.items("summaries"), by_item(filled), RUBRIC)}
    task = tasks["user: question 1"]
    texts = [task["data"]["answer1"], task["data"]["answer2"]]
    assert sorted(texts) == ["new answer 1", "old answer 1"]
    first, tie, skipped = task["annotations"]
    new, old = ("answer1", "answer2") if texts[0].startswith("new") else ("answer2", "answer1")
    assert [(one["from_name"], one["to_name"], one["type"], one["value"]) for one in first["result"]] == [
        ("better", "answer1,answer2", "pairwise", {"selected": {"answer1": "left", "answer2": "right"}[old]}),
        (f"style-{new}", new, "rating", {"rating": 2}),
        (f"tone-{new}", new, "number", {"number": 0}),
        ("correction", "prompt", "textarea", {"text": ["Better.\nYes."]}),
    ]
    assert first["completed_by"] == {"email": "ann@example.com"} and first["lead_time"] == 12.5
    assert first["created_at"].endswith("Z") and len({one["id"] for one in first["result"]}) == 4
    assert tie["result"][0]["value"] == {"choices": ["tie"]} and not tie["was_cancelled"]
    assert skipped["was_cancelled"] and skipped["result"] == []


def test_a_project_of_ones_own_is_read(reviews: Reviews) -> None:
    task = {
        "id": 7, "project": 3, "data": {"prompt": "Say hello", "answer1": "Hello", "answer2": "Hi"},
        "annotations": [
            {"id": 1, "completed_by": 10, "lead_time": 4.288, "was_cancelled": False, "ground_truth": False,
             "created_at": "2021-03-09T22:16:08.728353Z", "updated_at": "2021-03-09T22:16:08.728378Z",
             "result": [{"from_name": "pw", "id": "Dx_aB91ISN", "to_name": "answer1,answer2", "type": "pairwise",
                         "origin": "manual", "value": {"selected": "right"}}]},
        ],
    }  # fmt: skip
    (found,) = read_tasks(json.dumps([task]), "tasks.json", "summaries")
    reviews.add([found.item])
    assert reviews.bring_in(found.ratings) == 1
    (said,) = reviews.ratings("summaries")
    assert (said.rater, said.choice, said.seconds) == ("label-studio-10", "answer2", 4.288)


@pytest.mark.parametrize("kind", ["pair", "answer"])
def test_the_labelling_config_names_every_tag_of_the_tasks(filled: Reviews, kind: Any) -> None:
    tags = {tag.get("name"): tag for tag in xml.fromstring(labelling_config(RUBRIC, kind)).iter() if tag.get("name")}
    for task in tasks_of(filled.items("summaries"), by_item(filled), RUBRIC):
        if task["data"]["tunesmith"]["kind"] == kind:
            for said in (said for one in task["annotations"] for said in one["result"]):
                tag = tags[said["from_name"]]
                assert tag.tag.lower() == said["type"] and tag.get("toName") == said["to_name"]
            assert {tag.get("value") for tag in tags.values() if tag.tag == "Text"} <= {
                f"${key}" for key in task["data"]
            }


LINE = {
    "name": "n", "kind": "pair", "messages": [{"role": "user", "content": "q"}],
    "answers": [{"source": "a", "text": "1"}, {"source": "b", "text": "2"}],
}  # fmt: skip


AT = "2026-11-27T06:00:00Z"


def rated(**changes: Any) -> str:
    """A line with one rating."""
    return json.dumps({**LINE, "ratings": [{"rater": "ann", "at": AT, "choice": "a", **changes}]})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "rows.jsonl:2: this is not JSON"),
        ("[]", "rows.jsonl:2: a line is an object"),
        (json.dumps({**LINE, "pirority": 1}), "rows.jsonl:2: 'pirority' is no part of an item"),
        (json.dumps({**LINE, "answers": [{"source": "a"}]}), "rows.jsonl:2: a part is missing or of another kind"),
        (json.dumps({**LINE, "name": "Ä"}), "rows.jsonl:2, name: '\\xc4' is not a registered name"),
        (json.dumps({**LINE, "priority": "high"}), "rows.jsonl:2: a part is missing or of another kind"),
        (json.dumps({**LINE, "gold": "a"}), "rows.jsonl:2, gold: gold is a choice, or scales"),
        (json.dumps({**LINE, "ratings": [{"rater": "ann"}]}), "rows.jsonl:2: a part is missing or of another kind"),
        (json.dumps({**LINE, "ratings": [{"rater": "a", "at": "2026-01-01"}]}), "a moment without a time zone"),
        (rated(choice=5), "rows.jsonl:2: a part is missing or of another kind ('choice' cannot be '5')"),
        (rated(correction=5), "'correction' cannot be '5'"),
        (rated(rater=5), "'rater' cannot be '5'"),
        (rated(at=5), "'at' cannot be '5'"),
        (rated(at="0001-01-01T00:00:00+14:00"), "rows.jsonl:2: a part is missing or of another kind"),
        (rated(seconds="x"), "seconds cannot be 'x'"),
        (rated(scales={"a": {"style": True}}), "'True' is not a whole number"),
        (rated(scales={"a": {"style": 3.5}}), "'3.5' is not a whole number"),
        (rated(scales={"a": {"style": 1e999}}), "'inf' is not a whole number"),
        (rated(scales={"a": 3}), "scales are an object for each source"),
        (json.dumps({**LINE, "request": 5}), "rows.jsonl:2, request: '5' is not the id of a request"),
        (json.dumps({**LINE, "priority": 10**400}), "rows.jsonl:2: a part is missing or of another kind"),
        ("[" * 100_000, "rows.jsonl:2: this is not JSON: it is nested too deeply"),
    ],
)
def test_a_line_that_is_no_item(line: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_lines([json.dumps(LINE), line], "rows.jsonl")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "tasks.json: this is not JSON: it is nested too deeply"),
        ("{", "tasks.json: this is not JSON"), ("{}", "tasks.json: this is not a list of tasks"),
        ("[1]", "task 1: a task without data"),
        ('[{"data": {"answer1": "a"}}]', "task 1, name: '' is not a registered"),
        ('[{"data": {"answer1": "a", "prompt": "p"}, "annotations": [{}]}]', "an annotation is not as expected"),
    ],
)  # fmt: skip
def test_what_is_no_export_of_label_studio(text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_tasks(text, "tasks.json", None if "name" in message else "n")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "result", "message"),
    [
        ({"created_at": "2026-11-27T06:00:00"}, {}, "a moment without a time zone"),
        ({"lead_time": "x"}, {}, "seconds cannot be 'x'"),
        ({}, {"type": "choices", "from_name": "verdict", "value": {"choices": [5]}}, "'choice' cannot be '5'"),
        ({}, {"type": "rating", "from_name": "style-answer1", "value": {"rating": "HUGE"}}, "is not a whole number"),
        ({}, {"type": "number", "from_name": "style-answer1", "value": {"number": True}}, "is not a whole number"),
    ],
)
def test_an_annotation_of_another_kind(changes: dict[str, Any], result: dict[str, Any], message: str) -> None:
    said = {"to_name": "answer1", "type": "pairwise", "from_name": "better", "value": {"selected": "left"}, **result}
    annotation = {"completed_by": 1, "created_at": AT, "result": [said], **changes}
    task = {"data": {"prompt": "p", "answer1": "a", "answer2": "b"}, "annotations": [annotation]}
    with pytest.raises(DataError) as caught:
        read_tasks(json.dumps([task]).replace('"HUGE"', "1e999"), "tasks.json", "n")
    assert "tasks.json, task 1: an annotation is not as expected" in str(caught.value)
    assert message in str(caught.value)


def test_a_whole_number_is_one_however_it_is_written(reviews: Reviews) -> None:
    brought = read_lines([rated(scales={"a": {"style": 4.0}})], "rows.jsonl")
    assert bring(reviews, brought) == 1
    (value,) = (value for said in reviews.ratings("n") for value in said.scales["a"].values())
    assert value == 4 and type(value) is int


def test_texts_no_database_can_hold_are_mended(reviews: Reviews) -> None:
    half = "\ud800"
    said = {"rater": f"an{half}n", "at": AT, "choice": f"a{half}", "correction": f"b\0{half}"}
    line = {
        **LINE, "request": f"r{half}", "gold": {"choice": f"a{half}"}, "ratings": [said],
        "answers": [{"source": f"a{half}", "text": half}, {"source": "b", "text": "2"}],
    }  # fmt: skip
    assert bring(reviews, read_lines([json.dumps(line)], "rows.jsonl")) == 1
    (kept,), (item,) = reviews.ratings("n"), reviews.items("n")
    assert (kept.rater, kept.choice, kept.correction) == ("an?n", "a?", "b\ufffd?")
    assert item.request == "r?" and item.gold is not None and item.gold.choice == "a?"


def test_a_rating_that_fits_no_item_is_named_and_nothing_is_added(reviews: Reviews) -> None:
    lines = [json.dumps(LINE), rated(scales={"a": {"style": 9}})]
    with pytest.raises(DataError) as caught:
        bring(reviews, read_lines(lines, "rows.jsonl"))
    assert "rows.jsonl:2, scales: 'style' cannot be 9" in str(caught.value)
    assert reviews.names() == {}
