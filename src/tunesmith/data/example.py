"""One conversation, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict


class Message(TypedDict):
    """One turn, in the shape of OpenAI's chat API. `weight` scales the loss of this turn; 0 leaves it out."""

    role: str
    content: str
    weight: NotRequired[float]
    name: NotRequired[str]
    tool_calls: NotRequired[list[dict[str, Any]]]
    tool_call_id: NotRequired[str]


@dataclass(frozen=True, slots=True)
class Origin:
    """A row's place: the file (or dataset) as the user named it, and the line or row counted from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Example:
    """One valid conversation.

    `split` is set when the row says itself where it belongs. `label` is the class of a classification row.
    """

    messages: list[Message]
    origin: Origin
    tools: list[dict[str, Any]] | None = None
    label: str | None = None
    split: str | None = None

    @property
    def prompt(self) -> list[Message]:
        """The turns before the last assistant turn: what a model is shown when it is evaluated."""
        return self.messages[: self._last_answer()]

    @property
    def reference(self) -> str:
        """The last assistant turn: what a model should answer."""
        return self.messages[self._last_answer()]["content"]

    def _last_answer(self) -> int:
        return max(i for i, message in enumerate(self.messages) if message["role"] == "assistant")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is not a conversation: where it is, what is wrong with it, what to do."""

    origin: Origin
    what: str
    fix: str
