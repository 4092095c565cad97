"""Rendering a conversation: what templates are given, what they refuse, where turns lie."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import pytest

from tests.unit.data.chat_models import SPECIAL, TEMPLATES, chat, renderer, tokenizer
from tunesmith.data.template import ChatTemplate
from tunesmith.errors import DataError


def with_template(source: Any) -> ChatTemplate:
    made = deepcopy(tokenizer("chatml"))
    made.chat_template = source
    return ChatTemplate(made, "a model")


@pytest.mark.parametrize("style", SPECIAL)
def test_the_text_is_what_transformers_renders(style: str) -> None:
    made = renderer(style)
    messages = chat("Where is it?", "Here.", "And now?", "There.").messages
    assert made.template.render(messages) == made.tokenizer.apply_chat_template(messages, tokenize=False)
    assert made.template.render(messages[:1], answer_next=True) == made.tokenizer.apply_chat_template(
        messages[:1], tokenize=False, add_generation_prompt=True
    )


@pytest.mark.parametrize(
    ("style", "suffix"),
    [
        ("chatml", "<|im_start|>assistant\n"),
        ("llama2", ""),
        ("llama3", "<|start_header_id|>assistant<|end_header_id|>\n\n"),
        ("gemma", "<start_of_turn>model\n"),
        ("reasoner", "<|im_start|>assistant\n<think>\n"),
    ],
)
def test_what_asks_for_an_answer(style: str, suffix: str) -> None:
    assert renderer(style).template.generation_suffix == suffix


def test_turns_are_found_when_the_template_wants_all_at_once() -> None:
    made = renderer("all-at-once")
    text, turns = made.template.trained_turns(chat("a", "first", "b", "second"))
    assert [re.sub(r"<\|im_end\|>.*", "", text[turn.start : turn.end], flags=re.DOTALL) for turn in turns] == [
        "first",
        "second",
    ]


def test_a_template_for_tools_is_taken_when_there_are_tools() -> None:
    template = with_template({"default": TEMPLATES["chatml"], "tool_use": "{{ tools | length }} tools"})
    messages = chat("a", "b").messages
    assert template.render(messages).startswith("<|im_start|>user")
    assert template.render(messages, tools=[{"name": "find"}]) == "1 tools"
    with pytest.raises(DataError) as refused:
        with_template({"rag": "x", "tool_use": "y"})
    assert refused.value.what == "a model has the chat templates rag, tool_use, and none is 'default'"


def test_the_date_does_not_change_from_day_to_day() -> None:
    template = with_template("{{ strftime_now('%d %b %Y') }}")
    assert template.render(chat("a").messages) == "26 Jul 2024"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ raise_exception('Only odd numbers') }}", "refuses this conversation (Only odd numbers)"),
        ("{{ messages[7]['content'] }}", "refuses this conversation (list object has no element 7)"),
        ("{{ messages[0]['content'] + 1 }}", "refuses this conversation (can only concatenate str"),
        ("{{ 1 / 0 }}", "refuses this conversation (division by zero)"),
        ("{{ ''.__class__.__mro__ }}", "refuses this conversation (access to attribute '__class__'"),
        ("{{ messages[0]['content'].split('') }}", "refuses this conversation (empty separator)"),
        ("{% for %}", "is not valid Jinja (line 1"),
    ],
)
def test_whatever_a_template_trips_over_is_said_with_its_name(source: str, message: str) -> None:
    with pytest.raises(DataError) as refused:
        with_template(source).render(chat("a", "b").messages)
    assert refused.value.what.startswith(f"the chat template of a model {message}")
    assert refused.value.fix
