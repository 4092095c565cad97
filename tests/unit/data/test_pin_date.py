"""A template that writes the date is served as it was trained with, whatever day it is."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tunesmith.data.pin_date import pin_date, template_of
from tunesmith.data.template import ChatTemplate

WORDS = "{% for one in messages %}{{ one['content'] }}{% endfor %}"
LLAMA = (
    "{%- if not date_string is defined %}{%- if strftime_now is defined %}"
    '{%- set date_string = strftime_now("%d %b %Y") %}'
    '{%- else %}{%- set date_string = "never" %}{%- endif %}{%- endif %}'
    "{{- 'Today is ' + date_string + '\\n' }}" + WORDS
)
SHORT = "{{ strftime_now('%Y-%m-%d') }} {{ strftime_now(format='%H') }}:" + WORDS
PLAIN = WORDS
MESSAGES: list[Any] = [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize("source", [LLAMA, SHORT, PLAIN])
def test_a_server_writes_what_the_trainer_wrote(source: str) -> None:
    """The server's environment is transformers' own: a sandbox with a clock."""
    trained = ChatTemplate(SimpleNamespace(chat_template=source, special_tokens_map={}), "x").render(MESSAGES)
    server = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    server.globals["strftime_now"] = datetime(2031, 1, 2, 3).strftime
    assert server.from_string(pin_date(source)).render(messages=MESSAGES) == trained
    if source == LLAMA:
        assert server.from_string(source).render(messages=MESSAGES) != trained


def test_a_template_without_a_date_is_left_alone() -> None:
    assert pin_date(PLAIN) is PLAIN


def test_templates_are_found_where_tokenizers_put_them(tmp_path: Path) -> None:
    assert template_of(tmp_path) is None
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": [{"name": "a"}]}))
    assert template_of(tmp_path) is None
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": PLAIN}))
    assert template_of(tmp_path) == PLAIN
    (tmp_path / "chat_template.jinja").write_text(SHORT)
    assert template_of(tmp_path) == SHORT
