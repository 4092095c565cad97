"""What the gate makes of what people said: not worse by a margin, or too few to tell; and the pairs it asks about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tunesmith.data.example import Example, Origin
from tunesmith.evaluate.answers import Answer, Contestant, TestRow
from tunesmith.evaluate.gates import Decision
from tunesmith.monitor.retrain.contest import Answers, Losses, Rivals
from tunesmith.monitor.retrain.gates.people import not_worse, too_alike
from tunesmith.monitor.retrain.pairs import Pairs, pairs_of
from tunesmith.recipe.retrain import PeopleGate
from tunesmith.review.agreement import Alpha
from tunesmith.review.judged import Judged, share_of
from tunesmith.review.preference import Preferences
from tunesmith.review.queue import Progress


def judged(wins: int, losses: int, ties: int, left_out: tuple[str, ...] = ()) -> Judged:
    found = Preferences("new", "old", wins, losses, ties, None, None, None, None)
    return Judged(found, *share_of(found), Alpha(None, None, None, 0, 0, "nominal"), left_out, found)


@pytest.mark.parametrize(
    ("came", "margin", "passed"),
    [
        ((19, 21, 0), 0.2, True), ((18, 22, 0), 0.2, False), ((0, 0, 40), 0.2, True), ((0, 10, 30), 0.2, False),
        ((30, 10, 0), 0.0, True), ((24, 16, 0), 0.0, False), ((24, 16, 0), 0.1, True), ((9, 0, 0), 0.4, False),
    ],
)  # fmt: skip
def test_it_passes_what_is_not_worse_by_more_than_the_margin(
    came: tuple[int, int, int], margin: float, passed: bool
) -> None:
    number = sum(came)
    found = not_worse(judged(*came), PeopleGate(margin=margin), Progress(number, number))
    assert found.passed is passed and found.evidence["margin"] == margin


def test_who_was_left_out_is_said() -> None:
    found = not_worse(judged(30, 10, 0, ("eve",)), PeopleGate(), Progress(40, 40))
    assert found.reason.endswith("left out, as too often wrong where the answer is known: eve")
    assert found.evidence["left_out"] == ["eve"]


def test_rows_that_cannot_be_shown_are_counted() -> None:
    found = too_alike(2, 30, 100, PeopleGate())
    assert found.decision is Decision.WARN and "of the others 2 can be shown" in found.reason
    assert too_alike(2, 80, 100, PeopleGate()).decision is Decision.FAIL
    assert too_alike(0, 0, 0, PeopleGate()).decision is Decision.FAIL


USER: dict[str, Any] = {"role": "user", "content": "what is it?"}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "look", "parameters": {}}}


def paired(rows: Sequence[tuple[list[Any], list[Any] | None, tuple[str, str]]], most: int = 10) -> Pairs:
    """Pairs of rows given as the turns of a question, tools, and what champion and challenger answered; as new ones."""
    shown = tuple(TestRow("user: q", "a", None, f"rows:{n + 1}") for n in range(len(rows)))
    examples = [
        Example([*turns, {"role": "assistant", "content": "a"}], Origin("rows", n + 1), tools)
        for n, (turns, tools, _) in enumerate(rows)
    ]

    def contestant(side: int) -> Contestant:
        said = tuple(Answer(texts[side], 1.0, 2, 5, True) for _, _, texts in rows)
        return Contestant(str(side), "tuned", "", said)

    nothing = Losses((), ())
    answers = Answers(Rivals(shown, contestant(0), contestant(1)), Rivals((), None, None), nothing, nothing)
    return pairs_of("story", answers, (examples, []), ("story@1", "story@retrain-2"), most)


def test_rows_that_a_page_cannot_show_are_no_pairs() -> None:
    called = {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "type": "function"}]}
    found = paired([
        ([USER], None, ("one", "two")),
        ([USER], [TOOL], ("one", "two")),
        ([USER, called, {"role": "tool", "content": "4", "tool_call_id": "1"}], None, ("one", "two")),
        ([USER], None, ("the same", "the same\n")),
    ])  # fmt: skip
    assert (len(found.items), found.differing, found.rows) == (1, 3, 4)
    assert [one.text for one in found.items[0].answers] == ["one", "two"]


def test_of_too_many_the_same_are_drawn_however_they_are_ordered() -> None:
    rows = [([{"role": "user", "content": f"what is {n}?"}], None, (f"one {n}", f"two {n}")) for n in range(30)]
    chosen = {one.id for one in paired(rows).items}
    assert len(chosen) == 10 and {one.id for one in paired(rows[::-1]).items} == chosen
    assert {one.id for one in paired(rows, 15).items} > chosen
    assert len(paired([*rows[:3], *rows[:3]]).items) == 3
