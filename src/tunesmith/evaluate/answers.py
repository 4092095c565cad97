"""What the generation step hands over: test rows, and what each contestant answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ContestantKind = Literal["prompt", "tuned"]


def _without_surrogates(text: str) -> str:
    """A lone surrogate is not a character: no file, page or terminal can hold it."""
    return text.encode("utf-8", "replace").decode("utf-8")


@dataclass(frozen=True, slots=True)
class TestRow:
    """One held-out row: what the model is shown, what it should answer, where the row came from.

    `label` is the class of a classification row; `origin` is `file:line` as the user named the file.
    """

    __test__ = False  # the name begins with Test, but pytest has nothing to collect here

    prompt_text: str
    reference: str
    label: str | None
    origin: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt_text", _without_surrogates(self.prompt_text))
        object.__setattr__(self, "reference", _without_surrogates(self.reference))


@dataclass(frozen=True, slots=True)
class Answer:
    """One generated answer, and how surprised the model was by the reference answer of the same row."""

    text: str
    """The generated answer, without end-of-turn token."""

    nll: float
    """Negative log-likelihood in nats, summed over the tokens of the reference answer."""

    num_tokens: int
    """Tokens of the reference answer, with its end-of-turn token."""

    num_bytes: int
    """UTF-8 bytes of the reference answer."""

    finished: bool
    """Ended by a stop, not by the length limit."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", _without_surrogates(self.text))


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way of answering, a prompt to the base model or the tuned model, with an answer for each row, in order."""

    name: str
    kind: ContestantKind
    description: str
    answers: tuple[Answer, ...]
