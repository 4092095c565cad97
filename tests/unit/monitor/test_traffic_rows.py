"""From a gateway's bytes to a row: texts put together, redacted, looked at."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tunesmith.monitor.traffic.redact import MAX_TEXT, redact
from tunesmith.monitor.traffic.rows import TrafficRow
from tunesmith.monitor.traffic.seen import Seen, row_of
from tunesmith.monitor.traffic.traits import is_refusal, is_repeated

NOTED = {"id": "a" * 32, "at": 1_790_000_000.0, "model": "tiny", "version": "tiny@1", "role": "live", "status": 200}
ASKED = {"messages": [{"role": "user", "content": "Hello"}]}


def whole(message: dict[str, Any], reason: str | None = "stop") -> list[bytes]:
    choices = [{"index": 1, "message": {"content": "other"}}, {"index": 0, "message": message, "finish_reason": reason}]
    return [json.dumps({"choices": choices, "usage": {"prompt_tokens": 9, "completion_tokens": 4}}).encode()]


def events(*deltas: dict[str, Any], reason: str | None = "stop", usage: dict[str, int] | None = None) -> list[bytes]:
    said = [{"choices": [{"index": 0, "delta": delta}]} for delta in ({"role": "assistant", "content": ""}, *deltas)]
    if reason is not None:
        said.append({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    if usage is not None:
        said.append({"choices": [], "usage": usage})
    raw = "".join(f"data: {json.dumps(one)}\n\n" for one in said).encode() + b"data: [DONE]\n\n"
    # In pieces that end anywhere, as a network brings them.
    return [raw[start : start + 17] for start in range(0, len(raw), 17)]


def made(answered: list[bytes], stream: bool = False, asked: dict[str, Any] | None = None, **noted: Any) -> TrafficRow:
    found = row_of(Seen("tiny", {**NOTED, **noted}, "/v1/chat/completions", json.dumps(asked or ASKED).encode(),
                        answered, stream))  # fmt: skip
    assert found is not None
    return found


def test_a_whole_answer() -> None:
    row = made(whole({"content": "Paris."}))
    assert (row.answer, row.finish_reason, row.prompt_tokens, row.answer_tokens) == ("Paris.", "stop", 9, 4)
    assert (row.empty, row.truncated, row.invalid, row.refused, row.repeated) == (False, False, None, False, False)
    assert json.loads(row.messages) == ASKED["messages"]


def test_a_streamed_answer_is_put_together() -> None:
    row = made(events({"content": "Pa"}, {"content": "ris — "}, {"content": "日本"}), stream=True)
    assert (row.answer, row.finish_reason, row.answer_tokens) == ("Paris — 日本", "stop", 3)
    row = made(events({"content": "x"}, usage={"prompt_tokens": 5, "completion_tokens": 12}), stream=True)
    assert (row.prompt_tokens, row.answer_tokens) == (5, 12)


def test_a_client_that_left_leaves_what_it_got() -> None:
    raw = events({"content": "Once"}, {"content": " upon"}, reason=None)
    row = made([b"".join(raw)[:-50]], stream=True, status=499)
    assert row.answer in ("Once", "Once upon")
    assert (row.status, row.finish_reason, row.empty, row.truncated) == (499, None, None, None)


def test_calls_of_tools() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "mail", "arguments": '{"to": "ann@shop.com"}'}}
    row = made(whole({"content": None, "tool_calls": [call]}, "tool_calls"))
    assert row.calls is not None and json.loads(row.calls) == [
        {"name": "mail", "arguments": '{"to": "[e-mail address]"}'}
    ]
    assert (row.answer, row.empty, row.refused) == ("", False, None)
    pieces = [
        {"tool_calls": [{"index": 0, "function": {"name": "add", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]},
        {"tool_calls": [{"index": 1, "function": {"name": "sub", "arguments": "{}"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": " 1}"}}]},
    ]
    row = made(events(*pieces, reason="tool_calls"), stream=True)
    assert json.loads(row.calls or "") == [{"name": "add", "arguments": '{"a": 1}'}, {"name": "sub", "arguments": "{}"}]


CARD = "4111 1111 1111 1111"


@pytest.mark.parametrize(
    "arguments",
    [
        '{"to": "ann\\u0040shop.com"}',
        '{"text": "call:\\n+49 170 1234567"}',
        '{"text": "card\\n4111 1111 1111 1111"}',
        '{"card": 4111111111111111}',
        '{"ann@shop.com": [1, {"deep": ["\\t4111 1111 1111 1111"]}]}',
        '{"half": "\\ud800", "to": "ann\\u0040shop.com"}',
        '{"twice": "ann@shop.com", "twice": "no"}',
        '{"cut off": "card\\n4111 1111 1111 1111',
        '{"cut off": "ann\\u0040shop.com',
        '[' * 5000 + '"ann\\u0040shop.com',
        json.dumps({"long": "x" * MAX_TEXT * 2, "to": "ann@shop.com"}),
        json.dumps({"to": "ann\u00e9@shop.com, ann@shop.com", "long": "x" * MAX_TEXT * 2}),
    ],
)  # fmt: skip
def test_arguments_of_tools_are_taken_apart_to_be_cleaned(arguments: str) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "mail", "arguments": arguments}}
    asked = {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}]}
    row = made(whole({"tool_calls": [call]}, "tool_calls"), asked=asked)
    for written in (row.calls or "", json.loads(row.messages)[1]["content"]):
        plain = written.replace("\\", "")
        for secret in ("ann@shop", "u0040", "1234567", "4111"):
            assert secret not in plain
        assert len(written) < MAX_TEXT * 2
    assert json.loads(row.calls or "")[0]["name"] == "mail"


def test_the_name_of_a_called_tool_is_cleaned_and_cut() -> None:
    call = {"function": {"name": f"mail ann@shop.com {'x' * 900}", "arguments": "{}"}}
    (found,) = json.loads(made(whole({"tool_calls": [call]}, "tool_calls")).calls or "")
    assert found["name"].startswith("mail [e-mail address] xxx") and len(found["name"]) == 200


@pytest.mark.parametrize("role", ["ann@shop.com", "admin", "", None, 5, ["user"]])
def test_a_role_of_a_clients_own_making_is_not_written(role: Any) -> None:
    asked = {"messages": [{"role": role, "content": "x"}, {"role": "developer", "content": "y"}]}
    found = json.loads(made(whole({"content": "x"}), asked=asked).messages)
    assert [one["role"] for one in found] == ["other", "developer"]


@pytest.mark.parametrize("before", [5, 15, 17, 18])
def test_what_stands_across_the_cut_is_taken_out(before: int) -> None:
    text = "x" * (MAX_TEXT - before - 1) + " " + CARD + " and more of it"
    row = made(whole({"content": text}))
    assert row.answer is not None and "41" not in row.answer.rpartition("[")[0]
    assert row.answer.endswith(f"[{len(text) - MAX_TEXT} characters left out]")
    # What is taken out earlier makes no room for half a number.
    full = ("ann@a-very-long-name-of-a-shop.com " * 3000)[: MAX_TEXT + 20_470] + " " + CARD
    found = made(whole({"content": full})).answer or ""
    assert "41" not in found.rpartition("[")[0]


def test_messages_of_every_shape_become_role_and_content() -> None:
    call = {"function": {"name": "f", "arguments": '{"phone": "+49 170 1234567"}'}}
    asked = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}], "name": "Ann"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "ok", "tool_call_id": "1"},
    ]
    found = json.loads(made(whole({"content": "x"}), asked={"messages": asked}).messages)
    assert [one["role"] for one in found] == ["system", "user", "assistant", "tool"]
    assert [set(one) for one in found] == [{"role", "content"}] * 4
    assert found[1]["content"] == "Hello" and "[phone number]" in found[2]["content"]


@pytest.mark.parametrize(
    ("text", "reason", "wanted", "truncated", "invalid", "empty"),
    [
        ("", "stop", None, False, None, True),
        (" \n", "stop", None, False, None, True),
        ("cut", "length", None, True, None, False),
        ('{"a": 1}', "stop", "json_object", False, False, False),
        ("{'a'", "stop", "json_schema", False, True, False),
        ('{"a":', "length", "json_object", True, None, False),
        ("plain", "stop", "text", False, None, False),
    ],
)
def test_what_an_answer_is(
    text: str, reason: str, wanted: str | None, truncated: bool, invalid: bool | None, empty: bool
) -> None:
    asked = ASKED | ({"response_format": {"type": wanted}} if wanted else {})
    for row in (made(whole({"content": text}, reason), asked=asked),
                made(events({"content": text}, reason=reason), stream=True, asked=asked)):  # fmt: skip
        assert (row.truncated, row.invalid, row.empty) == (truncated, invalid, empty)


def test_the_schema_of_an_experiment_has_the_word() -> None:
    assert made(
        whole({"content": "{}"}), asked=ASKED | {"response_format": {"type": "json_object"}}, invalid=True
    ).invalid


def test_a_request_that_failed_has_no_answer() -> None:
    row = made([b'{"error": {"message": "broken"}}'], status=500)
    assert (row.status, row.answer, row.empty) == (500, None, None)


def test_very_long_texts_are_cut() -> None:
    row = made(whole({"content": "word " * 20_000}))
    assert row.answer is not None and row.answer.endswith("[34464 characters left out]")
    assert len(row.answer) < MAX_TEXT + 50


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Write to ann.lee@shop.com today", "Write to [e-mail address] today"),
        ("ann@shop.com,bob@shop.org", "[e-mail address],[e-mail address]"),
        ("card 4111 1111 1111 1111.", "card [payment card]."),
        ("order 4111 1111 1111 1112", "order 4111 1111 1111 1112"),
        ("IBAN DE89 3704 0044 0532 0130 00 please", "IBAN [bank account (IBAN)] please"),
        ("call +49 170 1234567 or (555) 123-4567", "call [phone number] or [phone number]"),
        ("key AKIAIOSFODNN7EXAMPLE.", "key [AWS access key]."),
        ("sk-ts-abcd1234-" + "x1" * 20 + "abc", "[API key (sk-)]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4", "[JSON web token]"),
        ("me@example.com is nobody's", "me@example.com is nobody's"),
        ("Nothing here, 12 of 34 at 5.6 %.", "Nothing here, 12 of 34 at 5.6 %."),
        ("", ""),
    ],
)
def test_personal_data_and_secrets_are_taken_out(text: str, clean: str) -> None:
    assert redact(text) == clean
    asked = {"messages": [{"role": "user", "content": text}]}
    row = made(whole({"content": text}), asked=asked)
    assert (row.answer, json.loads(row.messages)[0]["content"]) == (clean, clean)


def test_what_is_split_over_events_is_taken_out_too() -> None:
    row = made(events({"content": "ann@"}, {"content": "shop."}, {"content": "com"}), stream=True)
    assert row.answer == "[e-mail address]"


def test_redaction_can_be_left_out() -> None:
    seen = Seen("tiny", NOTED, "/v1/chat/completions", json.dumps(ASKED).encode(), whole({"content": "ann@shop.com"}))
    row = row_of(seen, redacting=False)
    assert row is not None and row.answer == "ann@shop.com"


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I’m sorry, but I cannot assist with that request.", True),
        ("I cannot provide medical advice.", True),
        ("I am unable to help you with this.", True),
        ("As an AI language model, I do not have opinions.", True),
        ("I apologize, but I must decline.", True),
        ("I won't be able to help with that.", True),
        ("Es tut mir leid, aber dabei kann ich nicht helfen.", True),
        ("Ich kann Ihnen dabei leider nicht weiterhelfen.", True),
        ("Je suis désolé, mais je ne peux pas vous aider.", True),
        ("Lo siento, no puedo ayudar con eso.", True),
        ("Paris is the capital of France.", False),
        ("You cannot divide by zero; the help page says why.", False),
        ("I'm sorry to hear that your card was lost. Here is what to do: call us.", False),
        ("The function returns None if the file cannot be opened.", False),
        ("Your transfer was declined because the account is closed.", False),
        ("I can help with that. Open the settings first.", False),
        ("x" * 250 + " I cannot help with that.", False),
        ("I can't help but smile at that.", False),
        ("I couldn’t help but notice and share a joke.", False),
        ("I can't really help but generate one more.", False),
        ("I can't help but I know who can.", True),
        ("I can't help, but my colleague can.", True),
        ("", False),
    ],
)
def test_refusals(text: str, refused: bool) -> None:
    assert is_refusal(text) is refused


PROSE = (
    "The town lies where the river leaves the hills. Most people work at the mill or on the boats, and in autumn the "
    "market fills the whole of the square. A stone bridge from the fourteenth century still carries all the traffic, "
    "though the council has asked for a second one every year since the flood. Children learn to swim before they can "
    "ride a bicycle, and nobody locks a door while the lamps are lit along the quay."
)


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        (PROSE, False),
        (PROSE + " " + PROSE.replace("town", "village").replace("river", "stream"), False),
        ("I like the river. " * 20, True),
        (PROSE + " and so on" * 80, True),
        (PROSE + " " + "!" * 300, True),
        (PROSE + "日本語の" * 100, True),
        ("yes yes yes", False),
        (json.dumps([{"id": number, "name": f"item {number}"} for number in range(40)]), False),
        ("\n".join(f"| {number} | {number**2} | {number**3} |" for number in range(50)), False),
        ("", False),
    ],
)
def test_answers_that_go_round_in_circles(text: str, repeated: bool) -> None:
    assert is_repeated(text) is repeated
