"""People as a gate: pairs are put before raters once, waited for, and decide; with a real store and real ratings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from tests.unit.evaluate.made_up import report_of
from tests.unit.monitor.retrain.clock import START, Clock
from tunesmith.data.example import Example, Message, Origin
from tunesmith.evaluate.answers import Answer, Contestant, TestRow
from tunesmith.evaluate.gates import Decision, GateVerdict
from tunesmith.evaluate.json_form import to_json
from tunesmith.evaluate.result import EvaluationReport
from tunesmith.monitor.retrain import drive, train_steps
from tunesmith.monitor.retrain.called import registered_as, source_of
from tunesmith.monitor.retrain.collect import gather
from tunesmith.monitor.retrain.contest import ANSWERS, Answers, Kept, Losses, Rivals
from tunesmith.monitor.retrain.dataset import NEW_TEST, NEW_TRAIN, OLD, assemble
from tunesmith.monitor.retrain.journal import Journal, Step
from tunesmith.monitor.retrain.people import ask_people
from tunesmith.monitor.retrain.settle import settle
from tunesmith.monitor.retrain.trail import trail_lines, trail_page
from tunesmith.monitor.retrain.work import FINISH, Result, Waiting, Work, pin_champion
from tunesmith.recipe.data import AuditSection
from tunesmith.recipe.load import load_recipe
from tunesmith.recipe.retrain import RetrainSection
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion
from tunesmith.review.item import Item
from tunesmith.review.reviews import Reviews
from tunesmith.review.rubric import Rubric
from tunesmith.store.database import Database
from tunesmith.store.home import Home
from tunesmith.train.job import RESULT, TrainResult

RECIPE = "name: story\nmodel: {source: model}\ndata: {train: rows.jsonl}\n"
NOTHING = Losses((), ())
CHALLENGER, CHAMPION = "story@retrain-1", "story@1"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def rivals(file: str, number: int, same: int = 0) -> Rivals:
    """Rows of a file, and what both answered; the first `same` alike."""
    rows = tuple(TestRow(f"user: {file} {n}", "right", None, f"{file}:{n + 1}") for n in range(number))

    def contestant(who: str) -> Contestant:
        texts = [f"alike {n}" if n < same else f"{who} on {file} {n}" for n in range(number)]
        return Contestant(who, "tuned", who, tuple(Answer(text, 1.0, 2, 5, True) for text in texts))

    return Rivals(rows, contestant("champion"), contestant("challenger"))


def write_rows(folder: Path, file: str, number: int) -> None:
    turns = [
        [{"role": "system", "content": "be brief"}, {"role": "user", "content": f"{file} {n}"},
         {"role": "assistant", "content": "right"}] for n in range(number)
    ]  # fmt: skip
    (folder / file).write_text("".join(json.dumps({"messages": one}) + "\n" for one in turns))


@pytest.fixture
def work(tmp_path: Path, clock: Clock) -> Iterator[Work]:
    """A retrain whose gates on answers have all passed, at the step that asks people: 8 new rows and 30 old ones."""
    made = at_people(tmp_path, clock, {"people": {"pairs": 12}}, {NEW_TEST: (8, 0), OLD["test"]: (30, 0)})
    yield made
    made.registry.close()
    made.database.close()


def at_people(folder: Path, clock: Clock, gates: dict[str, Any], sizes: dict[str, tuple[int, int]]) -> Work:
    """`sizes` are rows and rows answered alike, by file."""
    home = Home(folder, f"sqlite:///{folder}/registry.db", str(folder / "artifacts"))
    registry, database = Registry.open(home, now=clock), Database.open(home.database_url)
    (folder / "files").mkdir()
    (folder / "files" / "adapter_model.safetensors").write_text("1")
    champion = registry.register(
        NewVersion(name="story", kind="adapter", base_model="base", recipe_hash="r", recipe={}, created_by="ann",
                   verdict="passed"), folder / "files",
    )  # fmt: skip
    pin_champion(registry, champion)
    section = RetrainSection.model_validate({"gates": gates})
    journal = Journal(database, clock)
    state = {"next": "people", "champion": champion.reference, "section": section.model_dump(mode="json")}
    retrain = journal.begin("story", state, Step("decision", START, "start", "asked for", {}))
    work = Work(home, database, registry, journal, Console(stderr=True, quiet=True), retrain, None, clock)
    (folder / "recipe.yaml").write_text(RECIPE)
    recipe = load_recipe(folder / "recipe.yaml").recipe
    work.folder.mkdir(parents=True)
    trained = TrainResult("finished", 1, 1, 10, 5, 1.0, 1, 0.5, 1, 2)
    (work.folder / RESULT).write_text(json.dumps(asdict(trained)))
    work.__dict__["planned"] = SimpleNamespace(
        run_id="run-1", recipe=recipe, dataset=SimpleNamespace(manifest={"split_seed": 0}),
        job=SimpleNamespace(folder=work.folder),
    )  # fmt: skip
    for file, (number, _) in sizes.items():
        if number:
            write_rows(work.folder, file, number)
    new, old = (rivals(file, *sizes[file]) for file in (NEW_TEST, OLD["test"]))
    kept = Kept("run-1", champion.reference, champion.content_hash, Answers(new, old, NOTHING, NOTHING))
    (work.folder / ANSWERS).write_bytes(to_json(kept))
    return work


def go(work: Work) -> Result | Waiting:
    """One step of the driver, written down."""
    result = drive._step(work)
    if isinstance(result, Result):
        work.retrain = drive._recorded(work, result)
    return result


def steps(work: Work) -> dict[str, str]:
    return {one.step: one.verdict for one in work.journal.steps("story", 1)}


def items(work: Work) -> list[Item]:
    return Reviews(work.database).items("story")


def rate(work: Work, choices: list[str], raters: tuple[str, ...] = ("ann", "bob")) -> None:
    """Every rater chooses the same of each item, in their order."""
    reviews = Reviews(work.database, work.now)
    for item, choice in zip(items(work), choices, strict=False):
        for rater in raters:
            reviews.rate(item.id, rater, choice)


def test_pairs_are_put_before_raters_new_rows_first_and_with_all_their_turns(work: Work) -> None:
    result = go(work)
    assert isinstance(result, Result) and result.reason.startswith("12 pairs are put before raters, of 38 rows")
    assert work.retrain.next == "people" and steps(work) == {"decision": "start", "pairs": "done"}
    found = items(work)
    assert len(found) == 12 and {tuple(one.sources) for one in found} == {(CHAMPION, CHALLENGER)}
    questions = [one.messages[-1]["content"] for one in found]
    assert sum(one.startswith(NEW_TEST) for one in questions) == 8
    assert all(one.messages[0] == {"role": "system", "content": "be brief"} for one in found)
    assert {answer.text for one in found for answer in one.answers} >= {f"champion on {NEW_TEST} 0"}


def test_a_driver_that_is_killed_before_it_writes_adds_nothing_twice(work: Work, clock: Clock) -> None:
    ask_people(work)  # done, and not written down
    before = items(work)
    clock.forward(hours=1)
    go(work)
    assert items(work) == before and work.retrain.state["people_asked"] == clock.now.isoformat()
    assert isinstance(go(work), Waiting) and items(work) == before


def test_it_waits_until_every_pair_has_its_ratings_and_passes_what_people_prefer(work: Work) -> None:
    go(work)
    waiting = go(work)
    assert isinstance(waiting, Waiting) and "0 of 12 pairs are judged by 2 rater(s)" in waiting.reason
    assert "until 2026-12-11 12:00 UTC; `tunesmith review serve`" in waiting.reason
    rate(work, [CHALLENGER] * 12, raters=("ann",))
    assert isinstance(go(work), Waiting)
    rate(work, [CHALLENGER] * 8 + ["tie"] * 3, raters=("bob",))
    waiting = go(work)
    assert isinstance(waiting, Waiting) and "8 of 12 pairs" in waiting.reason  # on three they disagree
    rate(work, [CHALLENGER] * 12, raters=("bob",))
    result = go(work)
    assert isinstance(result, Result) and result.verdict == "pass" and work.retrain.next == "register"
    evidence = work.journal.steps("story", 1)[-1].evidence
    assert {key: evidence[key] for key in ("wins", "losses", "ties", "win_rate", "share", "judged_in_full")} == {
        "wins": 12, "losses": 0, "ties": 0, "win_rate": 1.0, "share": 1.0, "judged_in_full": 12,
    }  # fmt: skip
    assert evidence["low"] == pytest.approx(0.7354, abs=1e-4) and evidence["p"] == pytest.approx(2 / 2**12)
    assert not work.retrain.state.get("failed")


def test_what_people_find_worse_fails_and_stands_in_the_verdicts(work: Work) -> None:
    go(work)
    rate(work, [CHAMPION] * 10 + [CHALLENGER] * 2)
    result = go(work)
    assert isinstance(result, Result) and result.verdict == "fail"
    assert "the champion on 10, neither on 0" in result.reason and "the champion is preferred" in result.reason
    assert work.retrain.state["failed"] == ["people"] and work.retrain.next == "register"
    now = work.journal.steps("story", 1)
    lines, page = list(trail_lines(work.retrain, now)), trail_page(work.retrain, now)
    assert any("✘ people: people preferred it on 2 of 12 pairs" in line for line in lines)
    assert "✘ people" in page and "figures of pairs" in page


def test_at_the_deadline_those_decide_that_were_judged(work: Work, clock: Clock) -> None:
    go(work)
    rate(work, [CHALLENGER] * 10)
    clock.forward(days=13.9)
    assert isinstance(go(work), Waiting)
    clock.forward(days=0.2)
    result = go(work)
    assert isinstance(result, Result) and result.verdict == "pass"
    assert result.reason.startswith("after 14 days 10 of 12 pairs have every rating; people preferred it on 10 of 10")


@pytest.mark.parametrize("choice", [None, "unsure", CHALLENGER])
def test_at_the_deadline_it_fails_where_too_few_can_tell(work: Work, clock: Clock, choice: str | None) -> None:
    go(work)
    rate(work, [choice] * 9 if choice else [])
    clock.forward(days=14)
    result = go(work)
    assert isinstance(result, Result) and result.verdict == "fail"
    assert f"cannot tell: people could decide on {9 if choice == CHALLENGER else 0} of 12 pairs" in result.reason


def test_one_rater_is_enough_where_the_rubric_says_so(work: Work) -> None:
    Reviews(work.database).set_rubric("story", Rubric(raters=1))
    go(work)
    rate(work, [CHALLENGER] * 12, raters=("ann",))
    result = go(work)
    assert isinstance(result, Result) and result.verdict == "pass"


def test_somebody_may_end_the_wait(work: Work) -> None:
    go(work)
    work.journal.ask_to_stop(work.retrain, "ann", "the feedback was a test")
    go(work)
    assert work.retrain.next == FINISH and work.retrain.state["outcome"] == "stopped"
    go(work)
    assert not work.retrain.running and work.champion_now() == CHAMPION


def test_a_driver_that_does_not_stay_leaves_it_waiting(work: Work) -> None:
    told: list[str] = []

    def leave(reason: str) -> bool:
        told.append(reason)
        return False

    for _ in range(2):
        left = drive.drive(work, leave)
        assert left.running and left.next == "people"
    assert len(told) == 2 and told[0] == told[1] and len(items(work)) == 12


@pytest.mark.parametrize(
    ("gates", "failed", "reason"),
    [
        ({}, [], "the recipe asks nobody"),
        ({"people": {}}, ["old-rows"], "nobody is asked about what has failed already: old-rows"),
    ],
)
def test_nobody_is_asked_in_vain(tmp_path: Path, clock: Clock, gates: Any, failed: list[str], reason: str) -> None:
    work = at_people(tmp_path, clock, gates, {NEW_TEST: (8, 0), OLD["test"]: (30, 0)})
    work.retrain = replace(work.retrain, state={**work.retrain.state, "failed": failed})
    result = go(work)
    assert isinstance(result, Result) and result.verdict == "skip" and reason in result.reason
    assert items(work) == [] and work.retrain.next == "register"


@pytest.mark.parametrize(
    ("sizes", "verdict", "reason"),
    [
        ((40, 34), "warn", "both answer the same on 34 of 40 rows"),
        ((40, 40), "warn", "its share would be 0.50, within the margin"),
        ((12, 4), "fail", "cannot tell: both answer the same on 4 of 12 rows, and it takes 10 pairs"),
    ],
)
def test_answers_that_are_too_alike_are_not_put_before_people(
    tmp_path: Path, clock: Clock, sizes: tuple[int, int], verdict: str, reason: str
) -> None:
    work = at_people(tmp_path, clock, {"people": {}}, {NEW_TEST: sizes, OLD["test"]: (0, 0)})
    result = go(work)
    assert isinstance(result, Result) and result.verdict == verdict and reason in result.reason
    assert items(work) == [] and work.retrain.next == "register"
    assert work.retrain.state.get("failed", []) == (["people"] if verdict == "fail" else [])


@pytest.mark.parametrize(("verdict", "there"), [("pass", True), ("fail", True), ("warn", True), ("skip", False)])
def test_the_version_is_registered_with_what_people_said(
    work: Work, monkeypatch: pytest.MonkeyPatch, verdict: str, there: bool
) -> None:
    """Once, also where a driver that died after registering had left its verdicts in the report."""
    others = [name for name in train_steps.OURS if name != "people"]
    written = [Step(name, START, "pass", "well", {}) for name in others] + [Step("people", START, verdict, "so", {})]
    work.retrain = work.journal.record(work.retrain, written, {})
    own, before = (GateVerdict(name, Decision.PASS, "before", {}) for name in ("beats_best_prompt", "people"))
    report = replace(report_of(["a"], ["a"], ["a"], ["a"]), verdicts=(own, before))
    put: list[GateVerdict] = []

    def register(planned: Any, whole: EvaluationReport, *rest: Any) -> tuple[Any, None]:
        put.extend(whole.verdicts)
        return SimpleNamespace(reference="story@2", verdict="failed"), None

    monkeypatch.setattr("tunesmith.run.register.register", register)
    monkeypatch.setattr(train_steps, "_report", lambda work: (report, work.folder))
    monkeypatch.setattr(train_steps.plans, "compare", lambda *given: [])
    result = train_steps.register(work)
    assert [one.name for one in put] == ["beats_best_prompt", *others, "people"][: 1 + len(others) + there]
    assert not there or (put[-1].decision, put[-1].reason) == (Decision(verdict), "so")
    assert result.reason.endswith("people") is (verdict == "fail")


def test_a_rater_s_correction_judges_the_next_retrain_and_trains_none(work: Work) -> None:
    """Held-out rows stay held out; put before raters and corrected by two of them, a question is one example."""
    go(work)
    reviews = Reviews(work.database, work.now)
    asked = [one for one in items(work) if one.messages[-1]["content"].startswith(OLD["test"])][:3]
    for item in asked:
        reviews.rate(item.id, "ann", "tie", correction="as it should be")
        reviews.rate(item.id, "bob", CHAMPION, correction="as it must be")
    section = RetrainSection()
    said = gather(work.home, work.database, "story", START - timedelta(days=1), START + timedelta(days=1), section)
    assert [one.kind for one in said] == ["review"] * 6
    old = {part: [example(f"{part} {n * 7919}") for n in range(8)] for part in ("train", "validation")}
    old["test"] = [example(f"{OLD['test']} {n}") for n in range(30)]
    rows = assemble(old, settle(said, 1.0), AuditSection(), 0.9, 1e-9)
    assert rows.files[NEW_TRAIN] == () and len(rows.files[NEW_TEST]) == 3
    told = {tuple(turn["content"] for turn in row["messages"]) for row in rows.files[NEW_TEST]}
    assert told == {("be brief", one.messages[-1]["content"], "as it must be") for one in asked}


def example(question: str) -> Example:
    turns = [Message(role="user", content=question), Message(role="assistant", content="right")]
    return Example(turns, Origin("rows.jsonl", 1))


def test_the_challenger_is_found_under_its_version_once_it_has_one(work: Work) -> None:
    assert source_of(work.retrain) == CHALLENGER and registered_as([work.retrain]) == {}
    version = replace(work.retrain, state={**work.retrain.state, "version": "story@2"})
    assert registered_as([version]) == {CHALLENGER: "story@2"}
