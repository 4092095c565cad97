"""The table of rows that are no conversation, with the exact sentence for each."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.example import BadRow, Example, Origin
from tunesmith.data.formats import FORMATS
from tunesmith.recipe.data import FormatSection

ORIGIN = Origin("rows.jsonl", 7)
USER = {"role": "user", "content": "2+2?"}
ANSWER = {"role": "assistant", "content": "4"}


def chat(*messages: Any, **columns: Any) -> dict[str, Any]:
    return {"messages": list(messages), **columns}


def parts(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def calls(arguments: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "add", "arguments": arguments}}]}


NAN = float("nan")

BAD_ROWS: list[tuple[str, dict[str, Any], str]] = [
    ("chat", {"text": "x"}, "the row has no 'messages'"),
    ("chat", {"messages": None}, "'messages' is null"),
    ("chat", {"messages": "hello"}, "the messages are a string, not a list"),
    ("chat", chat(), "the conversation has no messages"),
    ("chat", chat("hello"), "message 1 is a string, not an object"),
    ("chat", chat({"content": "x"}, ANSWER), "message 1 has no role"),
    ("chat", chat({"role": 3, "content": "x"}), "the role of message 1 is a number, not a string"),
    ("chat", chat({"role": "bot", "content": "x"}), "message 1 has the unknown role 'bot'"),
    ("chat", chat({"role": "user"}, ANSWER), "message 1 has no content"),
    ("chat", chat({"role": "user", "content": None}, ANSWER), "the content of message 1 is null"),
    ("chat", chat({"role": "user", "content": 4}, ANSWER), "the content of message 1 is a number, not a string"),
    (
        "chat",
        chat(USER, {"role": "assistant", "content": {"a": 1}}),
        "the content of message 2 is an object, not a string",
    ),
    (
        "chat",
        chat(parts({"type": "image_url", "image_url": {}}), ANSWER),
        "message 1 has an image",
    ),
    (
        "chat",
        chat(parts({"type": "input_audio"}), ANSWER),
        "message 1 has a part of type 'input_audio'",
    ),
    ("chat", chat(parts(7), ANSWER), "message 1 has a part that is a number"),
    ("chat", chat(parts({"type": "text"}), ANSWER), "message 1 has a text part without text"),
    ("chat", chat(USER), "the conversation has no assistant turn"),
    ("chat", chat(USER, {"role": "assistant", "content": " \n"}), "message 2, an answer, is empty"),
    ("chat", chat(ANSWER), "message 1 is an answer, but no user has asked anything before it"),
    ("chat", chat(ANSWER, USER, ANSWER), "message 1 is an answer, but no user has asked anything before it"),
    ("chat", chat(USER, ANSWER, USER), "the last message is from the user, and no answer follows it"),
    (
        "chat",
        chat({"role": "system", "content": "a"}, {"role": "developer", "content": "b"}, USER, ANSWER),
        "message 2 is a second system message",
    ),
    (
        "chat",
        chat(USER, {"role": "system", "content": "a"}, ANSWER),
        "message 2 is a system message, but not the first message",
    ),
    ("chat", chat(USER, {**ANSWER, "weight": "1"}), "the weight of message 2 is a string, not a number"),
    ("chat", chat(USER, {**ANSWER, "weight": True}), "the weight of message 2 is true or false, not a number"),
    ("chat", chat(USER, {**ANSWER, "weight": -1}), "the weight of message 2 is -1"),
    ("chat", chat(USER, {**ANSWER, "weight": NAN}), "the weight of message 2 is nan"),
    ("chat", chat(USER, {**ANSWER, "name": 5}), "the 'name' of message 2 is a number, not a string"),
    ("chat", chat(USER, {**ANSWER, "function_call": {"name": "add"}}), "message 2 has the old 'function_call'"),
    ("chat", chat({**USER, "tool_calls": [{}]}, ANSWER), "message 1 is from the user, but calls tools"),
    ("chat", chat(USER, {**ANSWER, "tool_calls": "add"}), "the tool_calls of message 2 are a string, not a list"),
    ("chat", chat(USER, {**ANSWER, "tool_calls": [{}]}), "message 2 has a tool call without the function's name"),
    ("chat", chat(USER, calls("{")), "message 2 calls 'add' with arguments that are not JSON"),
    ("chat", chat(USER, calls("[1]")), "message 2 calls 'add' with arguments that are a list"),
    ("chat", chat(USER, ANSWER, tools={"add": 1}), "'tools' is an object, not a list"),
    ("chat", chat(USER, ANSWER, tools="[add]"), "'tools' is a string that is not JSON"),
    ("chat", chat(USER, ANSWER, tools=["add"]), "tool 1 is a string, not an object"),
    ("chat", chat(USER, ANSWER, tools=[{"type": "function"}]), "tool 1 has no name"),
    ("chat", chat(USER, ANSWER, functions=[{"name": "add"}]), "the row has the old 'functions'"),
    ("sharegpt", {"conversations": 3}, "the conversations are a number, not a list"),
    ("sharegpt", {"text": "x"}, "the row has no 'conversations'"),
    ("sharegpt", {"conversations": [["human", "x"]]}, "message 1 is a list, not an object"),
    ("sharegpt", {"conversations": [{"value": "x"}]}, "the 'from' of message 1 is null"),
    ("sharegpt", {"conversations": [{"from": "humann", "value": "x"}]}, "message 1 is from the unknown 'humann'"),
    ("sharegpt", {"conversations": [{"from": "human"}]}, "the content of message 1 is null"),
    ("alpaca", {"instruction": "x"}, "the row has no 'output'"),
    ("alpaca", {"instruction": " ", "output": "y"}, "'instruction' is empty"),
    ("alpaca", {"instruction": "x", "output": 3}, "'output' is a number, not a string"),
    ("alpaca", {"instruction": "x", "output": "y", "history": "z"}, "'history' is a string, not a list"),
    (
        "alpaca",
        {"instruction": "x", "output": "y", "history": [["q"]]},
        "entry 1 of 'history' is not a pair of strings",
    ),
    ("prompt-completion", {"prompt": "x"}, "the row has no 'completion'"),
    ("prompt-completion", {"prompt": "x", "completion": None}, "'completion' is null"),
    ("prompt-completion", {"question": "x", "answer": ""}, "'answer' is empty"),
    ("prompt-completion", {"prompt": [], "completion": "y"}, "'prompt' is an empty list"),
    (
        "prompt-completion",
        {"prompt": [USER], "completion": [USER]},
        "'completion' does not start with an assistant turn",
    ),
    ("text-label", {"text": "x"}, "the row has no 'label'"),
    ("text-label", {"text": "x", "label": ["a", "b"]}, "'label' is a list, not one label"),
    ("text-label", {"text": "x", "label": 0.5}, "'label' is a number, not a string"),
    ("text-label", {"text": "", "label": "a"}, "'text' is empty"),
    ("columns", {"code": "x"}, "the row has no column 'answer'"),
    ("columns", {"code": "x", "answer": None}, "column 'answer' is null"),
    ("columns", {"code": "x", "answer": " "}, "the completion is empty"),
    ("columns", {"code": "", "answer": "x"}, "the prompt is empty"),
]

CONFIGS = {"columns": FormatSection(type="columns", prompt="{code}", completion="{answer}")}


@pytest.mark.parametrize(("name", "row", "what"), BAD_ROWS)
def test_a_bad_row_is_named_with_the_exact_sentence(name: str, row: dict[str, Any], what: str) -> None:
    bad = FORMATS[name].convert(row, ORIGIN, CONFIGS.get(name, FormatSection()))
    assert isinstance(bad, BadRow), bad
    assert (bad.what, bad.origin) == (what, ORIGIN)
    assert bad.fix
    assert not bad.fix.endswith(".")


def test_the_fix_names_the_nearest_word() -> None:
    row = {"conversations": [{"from": "humann", "value": "x"}]}
    bad = FORMATS["sharegpt"].convert(row, ORIGIN, FormatSection())
    assert isinstance(bad, BadRow)
    assert bad.fix == "did you mean 'human'?"
    missing = FORMATS["columns"].convert({"codes": "x"}, ORIGIN, CONFIGS["columns"])
    assert isinstance(missing, BadRow)
    assert missing.fix == "did you mean 'codes'?"


WORDS = (
    "messages conversations role content from value tools tool_calls function name arguments weight type text label "
    "prompt completion instruction input output history system user assistant code answer"
)
KEYS = st.sampled_from(WORDS.split())
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(sorted(FORMATS)), st.dictionaries(KEYS, anything | KEYS, max_size=6))
def test_no_row_can_crash_a_format(name: str, row: dict[str, Any]) -> None:
    FORMATS[name].detects(row.keys(), [row])
    made = FORMATS[name].convert(row, ORIGIN, CONFIGS.get(name, FormatSection()))
    assert isinstance(made, Example | BadRow)
    if isinstance(made, Example):
        assert made.reference.strip() or made.messages[-1].get("tool_calls")
        assert all(isinstance(message["content"], str) for message in made.messages)
