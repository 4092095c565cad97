"""Requests: what is taken, what is refused with a sentence, and what becomes of the rest."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from tunesmith.recipe.serve import LimitsSection
from tunesmith.serve.ask import for_engine, parse, within
from tunesmith.serve.catalogue import Target
from tunesmith.serve.problem import Problem
from tunesmith.serve.spec import EngineSpec

CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
HELLO = [{"role": "user", "content": "Hello"}]
ENGINE = EngineSpec(name="base", model="smol", source="/m", revision="sha256:1")


def chat(**fields: Any) -> bytes:
    return orjson.dumps({"model": "x", "messages": HELLO, **fields})


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("path", "raw", "param", "message"),
    [
        (CHAT, b"", None, "the body is not JSON"),
        (CHAT, b"{", None, "the body is not JSON"),
        (CHAT, b"\xff\xfe", None, "the body is not JSON"),
        (CHAT, b"[]", None, "the body is not a JSON object"),
        (CHAT, b'{"model": "x"}', "messages", "messages is a list"),
        (CHAT, chat(messages=[]), "messages", "messages is a list"),
        (CHAT, chat(messages=["hi"]), "messages[0]", "messages[0] is not a message"),
        (CHAT, chat(messages=[{"role": 1}]), "messages[0]", "messages[0] is not a message"),
        (CHAT, chat(messages=[{"role": "user", "content": 7}]), "messages[0].content", "content is a text"),
        (
            CHAT,
            chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}]),
            "messages[0].content[0]",
            "no address is ever opened",
        ),
        (CHAT, chat(chat_template="{{ 1 }}"), "chat_template", "'chat_template' is not offered here"),
        (COMPLETION, orjson.dumps({"model": "x", "prompt_embeds": "gASV"}), "prompt_embeds", "is not offered here"),
        (CHAT, chat(mm_processor_kwargs={}), "mm_processor_kwargs", "is not offered here"),
        (CHAT, chat(kv_transfer_params={}), "kv_transfer_params", "is not offered here"),
        (CHAT, chat(**{"a" * 500: 1}), "a" * 80, "is not offered here"),
        (CHAT, chat(metadata=deep(100)), None, "nested more than 64 deep"),
    ],
)  # fmt: skip
def test_what_is_refused(path: str, raw: bytes, param: str | None, message: str) -> None:
    with pytest.raises(Problem) as caught:
        parse(path, raw)
    assert caught.value.status == 400
    assert message in caught.value.message
    assert caught.value.param == param
    assert json.loads(caught.value.body())["error"]["type"] == "invalid_request_error"


def test_a_body_may_be_as_deep_as_tools_are() -> None:
    assert parse(CHAT, chat(tools=[deep(50)]))["tools"]


def test_limits_hold() -> None:
    limits = LimitsSection(max_answer_tokens=100, max_choices=2)
    for field in ("max_tokens", "max_completion_tokens"):
        with pytest.raises(Problem, match="answers have at most 100 tokens"):
            within(parse(CHAT, chat(**{field: 101})), limits)
    with pytest.raises(Problem, match="n is 3, and at most 2"):
        within(parse(CHAT, chat(n=3)), limits)
    body = parse(CHAT, chat())
    within(body, limits)
    assert body["max_completion_tokens"] == 100
    given = parse(CHAT, chat(max_tokens=5))
    within(given, limits)
    assert "max_completion_tokens" not in given


def test_the_engine_is_asked_for_the_version_as_it_was_trained() -> None:
    target = Target("a@3", ENGINE, "a@3", template="{{ messages }}", system="Be brief.")
    asked = json.loads(for_engine(parse(CHAT, chat(user="ann", metadata={"a": "b"}, top_k=3)), target))
    assert asked["model"] == "a@3"
    assert asked["chat_template"] == "{{ messages }}"
    assert asked["messages"] == [{"role": "system", "content": "Be brief."}, *HELLO]
    assert asked["top_k"] == 3 and "metadata" not in asked


def test_a_system_message_of_the_client_is_left_alone() -> None:
    target = Target("a@3", ENGINE, "a@3", system="Be brief.")
    messages = [{"role": "system", "content": "Be long."}, *HELLO]
    assert json.loads(for_engine(parse(CHAT, chat(messages=messages)), target))["messages"] == messages


def test_a_completion_has_no_template() -> None:
    target = Target("a@3", ENGINE, "a@3", template="t", system="s")
    asked = json.loads(for_engine(parse(COMPLETION, orjson.dumps({"model": "x", "prompt": "Once"})), target))
    assert asked == {"model": "a@3", "prompt": "Once"}
