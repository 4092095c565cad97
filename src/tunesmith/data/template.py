"""What the tokenizer's chat template does to a conversation, and which characters of it the model should learn.

A trained turn starts where the template would let the model begin to answer and ends with the token that ends the turn.
Both ends come from renderings, not from searching for the content: a template may trim it, or repeat it elsewhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tunesmith.data.example import Example, Message
from tunesmith.errors import DataError

SENTINELS = ("alpha\u241fone", "beta\u241ftwo")
"""Two contents that share neither first nor last character: what two renderings share is the template's own."""


class Turn(NamedTuple):
    """Characters [start, end) of a rendered conversation that are one trained turn, and the weight of its loss."""

    start: int
    end: int
    weight: float


class ChatTemplate:
    """A chat template, compiled once.

    `name` is what errors call it. The template runs in jinja2's sandbox, as transformers runs it.
    """

    def __init__(self, tokenizer: Any, name: str, train_on: tuple[str, ...] = ("assistant",)) -> None:
        from transformers.utils.chat_template_utils import _compile_jinja_template

        self.name = name
        self.train_on = frozenset(train_on)
        self._special = {
            key: value for key, value in tokenizer.special_tokens_map.items() if isinstance(value, str)
        }  # templates refer to bos_token and eos_token by name
        self._compiled = _compile_jinja_template(tokenizer.chat_template)

    def render(self, messages: list[Message], tools: list[Any] | None = None, answer_next: bool = False) -> str:
        """The conversation as text; `answer_next` ends it where the assistant's answer begins.

        Raises DataError when the template refuses the conversation, with the template's own words.
        """
        from jinja2.exceptions import TemplateError

        try:
            text = self._compiled.render(
                messages=messages, tools=tools, documents=None, add_generation_prompt=answer_next, **self._special
            )
        except (TemplateError, TypeError) as error:
            raise DataError(
                f"the chat template of {self.name} refuses this conversation ({str(error).strip()[:200]})",
                fix="bring the turns into the order that the template asks for, or set model.chat_template",
            ) from error
        return str(text)

    def trained_turns(self, example: Example) -> tuple[str, list[Turn]]:
        """The rendered conversation and the turns in it that carry loss, in order; turns of weight 0 are left out.

        A turn's end lies at the end of what the template writes for it, white space after the last token included.
        Raises DataError when the turns cannot be told apart in the rendering.
        """
        messages, tools = example.messages, example.tools
        text = self.render(messages, tools)
        turns = []
        for index, message in enumerate(messages):
            weight = float(message.get("weight", 1.0))
            if message["role"] in self.train_on and weight > 0:
                start, end = self._by_prefix(text, messages, tools, index) or self._by_sentinel(
                    text, messages, tools, index
                )
                turns.append(Turn(start, end, weight))
        return text, turns

    def _by_prefix(
        self, text: str, messages: list[Message], tools: list[Any] | None, index: int
    ) -> tuple[int, int] | None:
        """The common case: what comes before a turn is rendered the same with and without what follows."""
        is_answer = messages[index]["role"] == "assistant"
        if index == 0 and not is_answer:
            return None
        try:
            before = self.render(messages[:index], tools, answer_next=is_answer)
            through = text if index == len(messages) - 1 else self.render(messages[: index + 1], tools)
        except DataError:
            return None  # the template wants all turns at once
        if text.startswith(through) and through.startswith(before) and len(before) < len(through):
            return len(before), len(through)
        return None

    def _by_sentinel(self, text: str, messages: list[Message], tools: list[Any] | None, index: int) -> tuple[int, int]:
        """Templates that render a turn differently once others follow: find the turn by exchanging its content."""
        first, second = (self._with_content(messages, tools, index, content) for content in SENTINELS)
        head = _shared_start(first, second)
        tail = _shared_start(first[::-1], second[::-1])
        content = text[head : len(text) - tail]
        fits = text.startswith(first[:head]) and text.endswith(first[len(first) - tail :])
        if not fits or content.strip() != messages[index]["content"].strip() or messages[index].get("tool_calls"):
            raise DataError(
                f"the chat template of {self.name} changes earlier turns in a way that hides where the answer lies",
                fix="set model.chat_template to one that renders each turn by itself",
            )
        following = self._next_turn(text, messages, tools, index, head + len(content))
        return head, following

    def _next_turn(self, text: str, messages: list[Message], tools: list[Any] | None, index: int, after: int) -> int:
        """Where what belongs to this turn ends: at the next message's content at the latest."""
        if index == len(messages) - 1:
            return len(text)
        first, second = (self._with_content(messages, tools, index + 1, content) for content in SENTINELS)
        return max(after, min(_shared_start(first, second), len(text)))

    def _with_content(self, messages: list[Message], tools: list[Any] | None, index: int, content: str) -> str:
        changed: Message = {**messages[index], "content": content}
        return self.render([*messages[:index], changed, *messages[index + 1 :]], tools)


def _shared_start(first: str, second: str) -> int:
    shortest = min(len(first), len(second))
    return next((i for i in range(shortest) if first[i] != second[i]), shortest)
