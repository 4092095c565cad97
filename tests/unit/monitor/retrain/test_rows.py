"""What a retrain learns from: contradictions settled, shares capped, questions held out, nothing given away."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

from tunesmith.data.example import Example, Message, Origin
from tunesmith.errors import ModelError
from tunesmith.monitor.retrain.collect import gather
from tunesmith.monitor.retrain.dataset import NEW_TEST, NEW_TRAIN, OLD, assemble, is_held_out, questions
from tunesmith.monitor.retrain.derive import write_recipe
from tunesmith.monitor.retrain.said import Candidate, key_of, said_in_reviews, said_in_traffic
from tunesmith.monitor.retrain.settle import settle, weightiest
from tunesmith.monitor.traffic.redact import shortened
from tunesmith.monitor.traffic.rows import TrafficRow
from tunesmith.monitor.traffic.write import write_traffic
from tunesmith.recipe.data import AuditSection
from tunesmith.recipe.load import load_recipe
from tunesmith.recipe.retrain import RetrainSection
from tunesmith.review.item import Answer, Correction, NewItem
from tunesmith.review.reviews import Reviews
from tunesmith.store.database import Database
from tunesmith.store.home import Home
from tunesmith.store.tables import feedback, requests

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def said(question: str, answer: str, who: str = "shop", kind: Any = "correction", minute: int = 0) -> Candidate:
    messages = (Message(role="user", content=question),)
    return Candidate(kind, messages, answer, NOW + timedelta(minutes=minute), who, f"{who}-{question}-{minute}")


def example(question: str, answer: str, label: str | None = None) -> Example:
    turns = [Message(role="user", content=question), Message(role="assistant", content=answer)]
    return Example(turns, Origin("rows", 1), label=label)


def answers(settled: Any) -> dict[str, str]:
    return {one.messages[-1]["content"]: one.answer for one in settled.kept}


def test_the_newest_word_of_a_tenant_wins_and_a_raters_word_wins_over_it() -> None:
    words = [
        said("a", "old", minute=1), said("a", "new", minute=2),
        said("b", "client", minute=5), said("b", "rater", "ann", "review", minute=1),
        said("c", "rated", kind="rated", minute=9), said("c", "corrected", minute=1),
        said("d", "rated", kind="rated"),
    ]  # fmt: skip
    settled = settle(words, 1.0)
    assert answers(settled) == {"a": "new", "b": "rater", "c": "corrected", "d": "rated"}
    assert settled.left_out == {"contradicted by a newer or weightier word": 3}


def test_tenants_that_contradict_each_other_are_not_believed_without_a_majority() -> None:
    tied = [said("a", "yes", "shop"), said("a", "no", "bank", minute=1)]
    outvoted = [said("b", "yes", "shop"), said("b", "no", "bank", minute=3), said("b", "Yes ", "cafe", minute=1)]
    settled = settle(tied + outvoted, 1.0)
    assert answers(settled) == {"b": "Yes "}
    assert [one.messages[-1]["content"] for one in settled.disputed] == ["a"]


def test_one_tenant_says_no_more_than_its_share() -> None:
    loud = [said(f"loud {n}", "x", "loud", minute=n) for n in range(90)]
    quiet = [said(f"quiet {n}", "x", "quiet", minute=n) for n in range(10)]
    kept = settle(loud + quiet, 0.5).kept
    by = [one.who for one in kept]
    assert (by.count("loud"), by.count("quiet")) == (10, 10)
    assert {one.messages[-1]["content"] for one in kept if one.who == "loud"} == {f"loud {n}" for n in range(80, 90)}
    assert len(settle(loud, 0.5).kept) == 90  # the only one there is


@given(st.text(max_size=40), st.floats(0.01, 0.98), st.floats(0.0, 0.5))
def test_what_is_held_out_stays_so_when_more_is_held_out(question: str, share: float, more: float) -> None:
    key = key_of([Message(role="user", content=question)])
    assert not is_held_out(key, share) or is_held_out(key, min(1.0, share + more))


def test_about_the_share_is_held_out() -> None:
    held = sum(is_held_out(key_of([Message(role="user", content=f"question {n}")]), 0.2) for n in range(5000))
    assert 900 < held < 1100  # five standard errors


def test_a_question_is_the_same_whatever_its_spaces_and_its_system_message() -> None:
    plain = key_of([Message(role="user", content="what is  it\n")])
    assert plain == key_of([Message(role="system", content="be kind"), Message(role="user", content="what is it")])
    assert plain != key_of([Message(role="user", content="what was it")])


def old_rows(number: int = 40) -> dict[str, list[Example]]:
    names = ["red", "blue", "green", "gold", "grey", "pink", "black", "white"]
    rows = [example(f"{names[n % 8]} {names[n // 8]} thing number {n * 7919}", "known") for n in range(number)]
    return {"train": rows[: number - 10], "validation": rows[number - 10 : number - 5], "test": rows[number - 5 :]}


def test_old_test_rows_stay_and_no_row_to_learn_from_gives_a_held_out_one_away() -> None:
    old = old_rows()
    new = [said(f"quite another question about {word} and {n}", "new", minute=n)
           for n, word in enumerate(("sea", "hill", "town", "moon", "road", "tree", "bird", "fish") * 12)]  # fmt: skip
    known = old["test"][0].messages[0]["content"]
    replaced = old["train"][0].messages[0]["content"]
    words = [*new, said(known, "of the test", minute=200), said(replaced, "corrected", minute=201)]
    rows = assemble(old, settle(words, 1.0), AuditSection(), 0.9, 0.3)
    assert [row["messages"][-1]["content"] for row in rows.files[OLD["test"]]] == ["known"] * 5
    taught = set(questions(rows.files[OLD["train"]])) | set(questions(rows.files[NEW_TRAIN]))
    held = set(questions(rows.files[OLD["test"]])) | set(questions(rows.files[NEW_TEST]))
    assert taught and held and not taught & held
    assert key_of([Message(role="user", content=known)]) in held - taught
    assert rows.left_out["old rows replaced by a correction"] == 1
    assert len(rows.files[OLD["train"]]) == len(old["train"]) - 1
    again = assemble(old, settle(words, 1.0), AuditSection(), 0.9, 0.3)
    assert again == rows


def test_new_rows_take_no_more_than_their_share_and_corrections_go_last() -> None:
    old = old_rows()
    rated = [said(f"{word} {n} asked and rated", "fine", kind="rated", minute=n)
             for n, word in enumerate(("sea", "hill", "town", "moon", "road", "tree") * 8)]  # fmt: skip
    corrected = [said(f"{word} {n} wrong before", "right", minute=n)
                 for n, word in enumerate(("bird", "fish", "lamp", "door") * 3)]  # fmt: skip
    rows = assemble(old, settle([*rated, *corrected], 1.0), AuditSection(), 0.5, 0.01)
    new = rows.files[NEW_TRAIN]
    assert len(new) == len(old["train"])
    kinds = [row["from"]["kind"] for row in new]
    held = [row["from"]["kind"] for row in rows.files[NEW_TEST]]
    assert kinds.count("correction") + held.count("correction") == 12
    assert rows.left_out["more than the share of what is new"] > 0


def test_rows_of_classes_keep_being_rows_of_classes() -> None:
    old = {part: [example(f"{part} text {n} {n * 31}", "billing", "billing") for n in range(8)] for part in OLD}
    words = settle([said("my card is lost somewhere", "cards")], 1.0)
    rows = assemble(old, words, AuditSection(), 0.9, 0.0001)
    assert rows.files[NEW_TRAIN][0]["label"] == "cards" and rows.files[OLD["test"]][0]["label"] == "billing"


def test_feedback_finds_its_question_in_the_traffic_log(tmp_path: Path) -> None:
    home = Home(tmp_path, f"sqlite:///{tmp_path}/registry.db", str(tmp_path / "artifacts"))
    database = Database.open(home.database_url)

    def row(key: str, answer: str, **columns: Any) -> TrafficRow:
        messages = json.dumps([{"role": "user", "content": f"question {key}"}])
        return TrafficRow(key, NOW, "story", "story", "story@1", messages, answer=answer, tenant="shop", **columns)

    write_traffic(
        home,
        [row("up", "good"), row("down", "bad"), row("fixed", "bad"), row("cut", "half", truncated=True),
         row("shade", "good", role="shadow"), row("late", "good"), row("torn", "mixed")],
    )  # fmt: skip
    common = {"tenant": "shop", "model": "story", "version": "story@1", "role": "live", "status": 200, "seconds": 1.0,
              "pieces": 1, "at": NOW}  # fmt: skip

    def word(request: str, metric: str, value: float | None = None, text: str | None = None, minute: int = 1) -> Any:
        at = NOW + timedelta(minutes=minute)
        return {"request": request, "metric": metric, "tenant": "shop", "at": at, "value": value, "text": text}

    with database.writing("test") as connection:
        keys = ("up", "down", "fixed", "cut", "shade", "late", "gone", "torn")
        connection.execute(insert(requests), [{"id": key, **common} for key in keys])
        connection.execute(
            insert(feedback),
            [word("up", "thumb", 1.0), word("down", "thumb", 0.0), word("fixed", "correction", None, "better"),
             word("fixed", "thumb", 1.0), word("cut", "thumb", 1.0), word("shade", "thumb", 1.0),
             word("late", "thumb", 1.0, minute=90), word("gone", "thumb", 1.0),
             word("torn", "thumb", 1.0), word("torn", "score", 0.2)],
        )  # fmt: skip
    found = said_in_traffic(home, database, "story", NOW, NOW + timedelta(hours=1), 1.0)
    assert {(one.of, one.kind, one.answer) for one in found} == {
        ("up", "rated", "good"),
        ("fixed", "correction", "better"),
    }
    assert found[0].messages[0]["content"].startswith("question ")


def test_texts_of_which_the_log_has_only_the_beginning_are_not_learned_from(tmp_path: Path) -> None:
    home = Home(tmp_path, f"sqlite:///{tmp_path}/registry.db", str(tmp_path / "artifacts"))
    database = Database.open(home.database_url)
    cut = shortened("word " * 20_000)
    texts = {"whole": ("a", "b"), "answer": ("a", cut), "question": (cut, "b"), "corrected": (cut, "b")}
    rows = [
        TrafficRow(key, NOW, "story", "story", "story@1", json.dumps([{"role": "user", "content": question}]),
                   answer=answer, tenant="shop")
        for key, (question, answer) in texts.items()
    ]  # fmt: skip
    write_traffic(home, rows)
    common = {"tenant": "shop", "model": "story", "version": "story@1", "role": "live", "status": 200, "seconds": 1.0,
              "pieces": 1, "at": NOW}  # fmt: skip
    words = [{"request": key, "tenant": "shop", "at": NOW + timedelta(minutes=1), "value": 1.0, "text": None,
              "metric": "thumb"} for key in texts]  # fmt: skip
    words[-1] |= {"metric": "correction", "value": None, "text": "better"}
    with database.writing("test") as connection:
        connection.execute(insert(requests), [{"id": key, **common} for key in texts])
        connection.execute(insert(feedback), words)
    found = said_in_traffic(home, database, "story", NOW, NOW + timedelta(hours=1), 1.0)
    assert [one.of for one in found] == ["whole"]
    review = [Correction("item", [{"role": "user", "content": cut}], "better", "ann", NOW)]
    assert said_in_reviews(review) == []


def test_questions_of_reviews_are_redacted_as_answers_are(tmp_path: Path) -> None:
    home = Home(tmp_path, f"sqlite:///{tmp_path}/registry.db", str(tmp_path / "artifacts"))
    database = Database.open(home.database_url)
    reviews = Reviews(database, now=lambda: NOW)
    asked = [{"role": "system", "content": "for bob@shop.com"}, {"role": "user", "content": "I am ann@shop.com"}]
    (item,) = reviews.add([NewItem("story", "answer", asked, [Answer("story@1", "hello")])])
    reviews.rate(item, "ann", correction="write to eve@shop.com")
    section = RetrainSection()
    (found,) = gather(home, database, "story", NOW - timedelta(days=1), NOW + timedelta(days=1), section)
    assert [one["content"] for one in found.messages] == ["for [e-mail address]", "I am [e-mail address]"]
    assert found.answer == "write to [e-mail address]"
    (found,) = gather(home, database, "story", NOW - timedelta(days=1), NOW + timedelta(days=1), section, False)
    assert found.messages[1]["content"] == "I am ann@shop.com"


def test_the_recipe_of_a_retrain_reads_back_and_names_its_own_files(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "recipe.yaml").write_text(
        "name: story\nmodel: {source: model}\ndata: {train: rows.jsonl, max_train_examples: 5}\n"
        "retrain: {max_usd: 2}\nbudget: {max_usd: 7, max_hours: 3}\n"
    )
    old = {part: [example(f"{part} {n} {n * 31}", "known") for n in range(8)] for part in OLD}
    rows = assemble(old, settle([said("something else entirely", "new")], 1.0), AuditSection(), 0.9, 0.0001)
    folder = tmp_path / "home" / "retrains" / "story" / "1"
    rows.write(folder)
    made = load_recipe(write_recipe(load_recipe(tmp_path / "recipe.yaml"), folder, labelled=False)).recipe
    assert [source.path for source in made.data.train] == ["./old-train.jsonl", "./new-train.jsonl"]  # type: ignore[union-attr]
    assert made.model.source == str(tmp_path / "model")
    assert (made.budget.max_usd, made.budget.max_hours) == (2, 3)
    assert made.data.max_train_examples is None and made.data.overlong == "drop"


def test_the_chat_template_goes_with_the_recipe_of_a_retrain(tmp_path: Path) -> None:
    (tmp_path / "chat.jinja").write_text("{{ messages }}")
    (tmp_path / "recipe.yaml").write_text(
        "name: story\nmodel: {source: base, chat_template: chat.jinja}\ndata: {train: rows.jsonl}\n"
    )
    folder = tmp_path / "home" / "retrains" / "story" / "1"
    folder.mkdir(parents=True)
    (folder / NEW_TRAIN).write_text("{}\n")
    made = load_recipe(write_recipe(load_recipe(tmp_path / "recipe.yaml"), folder, labelled=False)).recipe
    assert made.model.chat_template == "./template.jinja"
    assert (folder / "template.jinja").read_text() == "{{ messages }}"
    (tmp_path / "chat.jinja").unlink()
    with pytest.raises(ModelError, match="the chat template cannot be read"):
        write_recipe(load_recipe(tmp_path / "recipe.yaml"), folder, labelled=False)


def test_rows_are_written_into_an_emptied_folder(tmp_path: Path) -> None:
    """What an earlier retrain of the same number has left, say before the database was made anew, is not trained on."""
    (tmp_path / "recipe.yaml").write_text("name: story\nmodel: {source: base}\ndata: {train: rows.jsonl}\n")
    folder = tmp_path / "home" / "retrains" / "story" / "1"
    folder.mkdir(parents=True)
    for name in (NEW_TEST, OLD["validation"], "answers.json"):
        (folder / name).write_text("{}\n")
    old = {part: [example(f"{part} {n} {n * 31}", "known") for n in range(8)] for part in OLD} | {"validation": []}
    rows = assemble(old, settle([said("something else entirely", "new")], 1.0), AuditSection(), 0.9, 0.0001)
    rows.write(folder)
    assert {path.name for path in folder.iterdir()} == {OLD["train"], OLD["test"], NEW_TRAIN}
    made = load_recipe(write_recipe(load_recipe(tmp_path / "recipe.yaml"), folder, labelled=False)).recipe
    assert made.data.validation is None


WORDS = ("sea", "hill", "town", "moon", "road", "tree", "bird", "fish", "lamp", "door")


def several(who: str, number: int, begin: int) -> list[Candidate]:
    """Corrections of quite different questions."""
    asked = [f"{WORDS[n % 10]} {WORDS[n // 10 % 10]} {who} {n * 7919} {WORDS[n * 7 % 10]}" for n in range(number)]
    return [said(one, "new", who, minute=begin + n) for n, one in enumerate(asked)]


def test_a_tenants_share_holds_of_what_is_trained_on_and_of_what_judges() -> None:
    """The newest words are all of one tenant: cutting to what fits may not hand it everything."""
    old = old_rows(40)
    words = several("bank", 80, 0) + several("shop", 80, 1000)
    rows = assemble(old, settle(words, 0.5), AuditSection(), 0.5, 0.2)
    for file in (NEW_TRAIN, NEW_TEST):
        by = [row["from"]["who"] for row in rows.files[file]]
        assert by.count("shop") == by.count("bank") > 3, file
    assert rows.counts["new train"] == len(old["train"])


@given(
    st.lists(st.sampled_from(["shop", "shop", "shop", "bank", "cafe", "rater"]), max_size=60),
    st.floats(0.05, 1.0), st.integers(0, 60),
)  # fmt: skip
def test_no_tenant_says_more_than_its_share_of_any_choice(who: list[str], share: float, most: int) -> None:
    rows = [said(str(n), "x", one, "review" if one == "rater" else "correction", n) for n, one in enumerate(who)]
    chosen = weightiest(rows, share, most)
    said_by = Counter(one.who for one in chosen if one.kind == "correction")
    clients = {one for one in who if one != "rater"}
    assert len(chosen) <= most and chosen == [one for one in rows if one in chosen]
    if len(clients) > 1:
        assert max(said_by.values(), default=0) <= max(1, max(share, 1 / len(clients)) * said_by.total() + 1e-6)
    else:
        assert len(chosen) == min(most, len(rows))


def test_a_share_that_so_few_tenants_cannot_keep_makes_them_equal() -> None:
    kept = settle(several("loud", 60, 0) + several("quiet", 10, 500), 0.3).kept
    assert Counter(one.who for one in kept) == {"loud": 10, "quiet": 10}
