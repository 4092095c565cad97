"""Each format makes the same conversation of a good row, and is told from its columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.example import BadRow, Example, Origin
from tunesmith.data.formats import FORMATS, Format
from tunesmith.data.read import read_examples
from tunesmith.errors import DataError
from tunesmith.recipe.data import DataSection, FormatSection

ORIGIN = Origin("rows.jsonl", 1)


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


def system(content: str) -> dict[str, str]:
    return {"role": "system", "content": content}


ASKED = [user("2+2?"), assistant("4")]

GOOD_ROWS: list[tuple[str, dict[str, Any], list[dict[str, Any]]]] = [
    ("chat", {"messages": ASKED}, ASKED),
    ("chat", {"conversations": ASKED}, ASKED),
    ("chat", {"messages": [{"role": "developer", "content": "Be brief."}, *ASKED]}, [system("Be brief."), *ASKED]),
    (
        "chat",
        {"messages": [user("a"), {"role": "assistant", "content": "b", "weight": 0, "name": None}, *ASKED]},
        [user("a"), {"role": "assistant", "content": "b", "weight": 0.0}, *ASKED],
    ),
    (
        "chat",
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "2+"}, {"type": "text", "text": "2?"}]},
                ASKED[1],
            ]
        },
        [user("2+\n2?"), ASKED[1]],
    ),
    ("chat", {"messages": [user("2"), user("+2?"), assistant("4")]}, [user("2"), user("+2?"), assistant("4")]),
    (
        "sharegpt",
        {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]},
        ASKED,
    ),
    (
        "sharegpt",
        {"system": "Be brief.", "conversations": [{"from": "Human", "value": "2+2?"}, {"from": "GPT", "value": "4"}]},
        [system("Be brief."), *ASKED],
    ),
    ("alpaca", {"instruction": "2+2?", "input": "", "output": "4"}, ASKED),
    ("alpaca", {"instruction": "Add.", "input": "2, 2", "output": "4"}, [user("Add.\n\n2, 2"), assistant("4")]),
    (
        "alpaca",
        {"instruction": "2+2?", "output": "4", "system": "Be brief.", "history": [["Hi", "Hello"]]},
        [system("Be brief."), user("Hi"), assistant("Hello"), *ASKED],
    ),
    ("prompt-completion", {"prompt": "2+2?", "completion": "4"}, ASKED),
    ("prompt-completion", {"question": "2+2?", "answer": "4"}, ASKED),
    ("prompt-completion", {"input": "2+2?", "output": "4"}, ASKED),
    (
        "prompt-completion",
        {"prompt": [system("Be brief."), ASKED[0]], "completion": [ASKED[1]]},
        [system("Be brief."), *ASKED],
    ),
    ("text-label", {"text": "2+2?", "label": 4}, ASKED),
    ("text-label", {"sentence": "2+2?", "label": "4"}, ASKED),
    ("text-label", {"text": "2+2?", "category": " 4 "}, ASKED),
]


@pytest.mark.parametrize(("name", "row", "messages"), GOOD_ROWS)
def test_a_good_row_becomes_its_conversation_and_only_its_format_claims_it(
    name: str, row: dict[str, Any], messages: list[dict[str, Any]]
) -> None:
    before = json.dumps(row)
    example = FORMATS[name].convert(row, ORIGIN, FormatSection())
    assert isinstance(example, Example), example
    assert example.messages == messages
    assert example.origin == ORIGIN
    assert json.dumps(row) == before
    assert [other for other, candidate in FORMATS.items() if candidate.detects(row.keys(), [row])] == [name]


def test_tools_and_calls_are_kept_with_their_arguments_as_an_object() -> None:
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 2}'}}
    row = {
        "messages": [
            user("2+2?"),
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": "4"},
            assistant("4"),
        ],
        "tools": tools,
    }
    example = FORMATS["chat"].convert(row, ORIGIN, FormatSection())
    assert isinstance(example, Example)
    assert example.tools == tools
    called = example.messages[1]
    assert called["content"] == ""
    assert called["tool_calls"][0]["function"] == {"name": "add", "arguments": {"a": 2, "b": 2}}
    assert example.messages[2] == {"role": "tool", "content": "4", "tool_call_id": "1"}
    as_text = FORMATS["chat"].convert({**row, "tools": json.dumps(tools)}, ORIGIN, FormatSection())
    assert isinstance(as_text, Example)
    assert as_text.tools == tools


def test_a_label_is_text_and_the_instruction_stands_above_the_text() -> None:
    config = FormatSection(type="text-label", text_column="query", label_column="topic", instruction="Name the topic.")
    example = FORMATS["text-label"].convert({"query": "Where is my card?", "topic": 11}, ORIGIN, config)
    assert isinstance(example, Example)
    assert example.messages == [user("Name the topic.\n\nWhere is my card?"), assistant("11")]
    assert example.label == "11"


def test_templates_take_columns_and_doubled_braces() -> None:
    config = FormatSection(
        type="columns", prompt='Fill {{"a": {my column}}}:\n{code}', completion="{answer}", label_column="kind"
    )
    row = {"my column": 3, "code": "x{y}", "answer": {"a": "ü"}, "kind": "json"}
    example = FORMATS["columns"].convert(row, ORIGIN, config)
    assert isinstance(example, Example)
    assert example.messages == [user('Fill {"a": 3}:\nx{y}'), assistant('{"a": "ü"}')]
    assert example.label == "json"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{code", "data.format.prompt: the template has a lone '{' at character 1"),
        ("code}", "data.format.prompt: the template has a lone '}' at character 5"),
        ("{}", "data.format.prompt: the template has a lone '{' at character 1"),
        ("code", "data.format.prompt: the template names no column"),
    ],
)
def test_a_wrong_template_is_the_recipes_mistake(template: str, message: str) -> None:
    config = FormatSection(type="columns", prompt=template, completion="{answer}")
    with pytest.raises(DataError) as caught:
        FORMATS["columns"].convert({"code": "x", "answer": "y"}, ORIGIN, config)
    assert str(caught.value).splitlines()[0] == message


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_a_format_that_cannot_be_told_names_the_columns_and_the_way_out(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", [{"body": "x", "topic": "y"}])
    with pytest.raises(DataError) as caught:
        list(read_examples(DataSection(train="rows.jsonl"), tmp_path, "train"))
    assert str(caught.value) == (
        "data.train: cannot tell the format of rows.jsonl (columns: body, topic)\n"
        "  fix: set data.format to one of chat, sharegpt, alpaca, prompt-completion, text-label, columns; "
        "or map columns: format: {type: columns, prompt: '{a_column}', completion: '{another}'}"
    )


def test_rows_that_fit_two_formats_ask_for_a_choice(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", [{"messages": ASKED, "prompt": "x", "completion": "y"}])
    with pytest.raises(DataError) as caught:
        list(read_examples(DataSection(train="rows.jsonl"), tmp_path, "train"))
    assert str(caught.value) == (
        "data.train: the rows of rows.jsonl fit more than one format: chat, prompt-completion "
        "(columns: messages, prompt, completion)\n  fix: set data.format to chat or prompt-completion"
    )
    chosen = DataSection.model_validate({"train": "rows.jsonl", "format": "chat"})
    assert [
        example.messages for example in read_examples(chosen, tmp_path, "train") if isinstance(example, Example)
    ] == [ASKED]


def test_each_source_has_its_own_format_and_the_system_message_only_fills_a_gap(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", [{"messages": ASKED}, {"messages": [system("Mine."), *ASKED]}])
    write_rows(tmp_path / "b.jsonl", [{"prompt": "2+2?", "completion": "4"}])
    data = DataSection.model_validate({"train": ["a.jsonl", "b.jsonl"], "system": "Ours."})
    found = list(read_examples(data, tmp_path, "train"))
    assert [example.messages[0]["content"] for example in found if isinstance(example, Example)] == [
        "Ours.",
        "Mine.",
        "Ours.",
    ]
    assert list(read_examples(data, tmp_path, "test")) == []


def test_bad_rows_before_the_first_good_one_do_not_hide_the_format(tmp_path: Path) -> None:
    good = json.dumps({"prompt": "2+2?", "completion": "4"})
    (tmp_path / "rows.jsonl").write_text("oops\n" * 250 + good + "\n", encoding="utf-8")
    found = list(read_examples(DataSection(train="rows.jsonl"), tmp_path, "train"))
    assert [type(row) for row in found] == [BadRow] * 250 + [Example]
    assert found[-1].origin.line == 251
    (tmp_path / "rows.jsonl").write_text("oops\n" * 250, encoding="utf-8")
    assert len(list(read_examples(DataSection(train="rows.jsonl"), tmp_path, "train"))) == 250


def test_every_format_of_the_recipe_has_a_module() -> None:
    names = set(FormatSection.model_json_schema()["properties"]["type"]["enum"])
    assert names - {"auto"} == set(FORMATS)
    module: Format
    for module in FORMATS.values():
        assert module.detects({"nothing"}, [{"nothing": 1}]) is False
