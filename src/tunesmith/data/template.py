"""What the tokenizer's chat template does to a conversation, and which characters of it the model should learn.

A trained answer starts where the template lets the model begin to answer and ends with the token that ends the turn.
Both ends come from renderings, not from searching for the content: a template may trim it, or repeat it elsewhere.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache, cached_property
from typing import Any, NamedTuple

from jinja2.exceptions import TemplateError, TemplateSyntaxError

from tunesmith.data.example import Example, Message
from tunesmith.errors import DataError

SENTINELS = ("alpha\u241fone", "beta\u241ftwo")
"""Two contents that share neither first nor last character: what two renderings share is the template's own."""

TODAY = datetime(2024, 7, 26)
"""What `strftime_now` says: a template that writes the date would give other tokens tomorrow. Llama 3's own default."""

PROBES: tuple[list[Message], ...] = (
    [{"role": "user", "content": "question"}],
    [{"role": "system", "content": "instruction"}, {"role": "user", "content": "question"}],
)
"""The shortest conversations that a template takes; some want a system message."""


class Turn(NamedTuple):
    """Characters [start, end) of a rendered conversation that belong to one trained turn, and the weight of its loss.

    `end` may lie behind the end-of-turn token. It is the first one from `content_end` on; where that is None it is the
    last one before `end`. A turn of another role (`is_answer` false) is its content alone and needs none.
    """

    start: int
    end: int
    content_end: int | None
    is_answer: bool
    weight: float


class ChatTemplate:
    """A chat template. `name` is what errors call it. It runs in jinja2's sandbox, as transformers runs it."""

    def __init__(self, tokenizer: Any, name: str, train_on: tuple[str, ...] = ("assistant",)) -> None:
        self.name = name
        self.train_on = frozenset(train_on)
        given = tokenizer.chat_template
        self.sources: dict[str, str] = dict(given) if isinstance(given, dict) else {"default": given}
        self.special_tokens = {
            key: value for key, value in tokenizer.special_tokens_map.items() if isinstance(value, str)
        }  # templates refer to bos_token and eos_token by name
        if "default" not in self.sources:
            raise DataError(
                f"{name} has the chat templates {', '.join(sorted(self.sources))}, and none is 'default'",
                where="model.source",
                fix="set model.chat_template to a file with the one to use",
            )

    def render(self, messages: list[Message], tools: list[Any] | None = None, answer_next: bool = False) -> str:
        """The conversation as text; `answer_next` ends it where the assistant's answer begins.

        Raises DataError when the template refuses the conversation, with the template's own words.
        """
        source = self.sources.get("tool_use", self.sources["default"]) if tools else self.sources["default"]
        try:
            text = _compiled(source).render(
                messages=[_shown(message) for message in messages],
                tools=tools,
                documents=None,
                add_generation_prompt=answer_next,
                strftime_now=TODAY.strftime,
                **self.special_tokens,
            )
        except TemplateSyntaxError as error:
            raise DataError(
                f"the chat template of {self.name} is not valid Jinja (line {error.lineno}: {error.message})",
                where="model.chat_template",
                fix="correct the template",
            ) from error
        # A template is a program: whatever it trips over is its way to refuse.
        except (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            raise DataError(
                f"the chat template of {self.name} refuses this conversation ({str(error).strip()[:200]})",
                fix="bring the turns into the order that the template asks for, or set model.chat_template",
            ) from error
        return str(text)

    def trained_turns(self, example: Example) -> tuple[str, list[Turn]]:
        """The rendered conversation and the turns in it that carry loss, in order; turns of weight 0 are left out.

        Raises DataError when the turns cannot be told apart in the rendering.
        """
        messages, tools = example.messages, example.tools
        text = self.render(messages, tools)
        turns: list[Turn] = []
        for index, message in enumerate(messages):
            weight = float(message.get("weight", 1.0))
            if message["role"] in self.train_on and weight > 0:
                turn = message["role"] == "assistant" and self._by_prefix(text, messages, tools, index, weight)
                turn = turn or self._by_sentinel(text, messages, tools, index, weight)
                if turns and turn.start < turns[-1].end:
                    turns[-1] = turns[-1]._replace(end=turn.start)
                turns.append(turn)
        return text, turns

    def _by_prefix(
        self, text: str, messages: list[Message], tools: list[Any] | None, index: int, weight: float
    ) -> Turn | None:
        """The common case of an answer: what comes before it is rendered the same with and without what follows."""
        try:
            before = self.render(messages[:index], tools, answer_next=True)
            through = text if index == len(messages) - 1 else self.render(messages[: index + 1], tools)
        except DataError:
            return None  # the template wants all turns at once
        if text.startswith(through) and through.startswith(before) and len(before) < len(through):
            return Turn(len(before), len(through), None, True, weight)
        return None

    def _by_sentinel(
        self, text: str, messages: list[Message], tools: list[Any] | None, index: int, weight: float
    ) -> Turn:
        """Templates that render a turn differently once others follow: find the turn by exchanging its content."""
        message = messages[index]
        first, second = (self._with_content(messages, tools, index, content) for content in SENTINELS)
        head = _shared_start(first, second)
        tail = _shared_start(first[::-1], second[::-1])
        content = text[head : len(text) - tail]
        fits = text.startswith(first[:head])
        if not message.get("tool_calls"):  # calls follow the content and may be set off from it in another way
            fits = fits and text.endswith(first[len(first) - tail :]) and content.strip() == message["content"].strip()
        is_answer = message["role"] == "assistant"
        start = self._answer_start(text, head) if is_answer else head
        if not fits or start is None:
            raise DataError(
                f"the chat template of {self.name} shows this answer differently than the model would have given it",
                fix="write one row for each answer, give earlier answers weight 0, "
                "or set model.chat_template to one that renders each turn by itself",
            )
        content_end = head if message.get("tool_calls") else head + len(content)
        end = self._next_content(text, messages, tools, index, content_end) if is_answer else content_end
        return Turn(start, end, content_end, is_answer, weight)

    def _answer_start(self, text: str, head: int) -> int | None:
        """Where the model would begin: behind the text that asks for an answer, which ends at the content or before."""
        asks = self.generation_suffix
        if asks:
            found = text.rfind(asks, 0, head)
            return found + len(asks) if found >= 0 and not text[found + len(asks) : head].strip() else None
        return len(text[:head].rstrip(" "))  # the blank before the content is the model's to write

    def _next_content(self, text: str, messages: list[Message], tools: list[Any] | None, index: int, after: int) -> int:
        """Where the next message's content begins: what belongs to this turn ends before it."""
        if index == len(messages) - 1:
            return len(text)
        first, second = (self._with_content(messages, tools, index + 1, content) for content in SENTINELS)
        return max(after, min(_shared_start(first, second), len(text)))

    def _with_content(self, messages: list[Message], tools: list[Any] | None, index: int, content: str) -> str:
        changed: Message = {**messages[index], "content": content}
        return self.render([*messages[:index], changed, *messages[index + 1 :]], tools)

    @cached_property
    def generation_suffix(self) -> str:
        """What the template writes to ask for an answer, such as `<|im_start|>assistant` and a line break."""
        for probe in PROBES:
            try:
                without, asking = self.render(probe), self.render(probe, answer_next=True)
            except DataError:
                continue
            if asking.startswith(without):
                return asking[len(without) :]
        return ""


def _shared_start(first: str, second: str) -> int:
    """How many characters two texts have in common at their start, by halving: comparing slices is fast."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if first[:middle] == second[:middle] else (low, middle - 1)
    return low


@cache
def _compiled(source: str) -> Any:
    from transformers.utils.chat_template_utils import _compile_jinja_template

    template = _compile_jinja_template(source)
    # jinja2 copies the globals for each rendering; of a plain dict that takes a tenth of the time.
    template.globals = dict(template.globals)
    return template


def _shown(message: Message) -> Any:
    """The message without what only training knows: a template that prints whole messages must not see the weight."""
    return {key: value for key, value in message.items() if key != "weight"} if "weight" in message else message
