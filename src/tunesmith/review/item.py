"""What people judge and what they say: items, ratings, corrections; and which answer stands on which side."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from math import isfinite
from typing import Any, Literal

from tunesmith.errors import DataError
from tunesmith.registry.check import NAME

Kind = Literal["pair", "answer"]
Message = dict[str, str]
Scales = dict[str, dict[str, int]]
"""Source -> scale -> number."""

TIE, UNSURE = "tie", "unsure"
"""What may be chosen besides a source: both are as good; cannot say."""

MAX_SOURCE, MAX_RATER = 200, 64
SCALE_SLACK = 1
"""How far from the known number of a scale a rater may be and still be right."""


def clean(text: str) -> str:
    """The text as every database and browser can hold it: without NUL and halves of surrogate pairs."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


@dataclass(frozen=True)
class Answer:
    """An answer, and whose it is: a version, a prompt, a variant. Raters never see `source`."""

    source: str
    text: str


@dataclass(frozen=True)
class Gold:
    """What is known to be right: the source to choose, or `tie`; or scales of the only answer."""

    choice: str | None = None
    scales: dict[str, int] = field(default_factory=dict)

    def cleaned(self) -> Gold:
        """Itself, as every database can hold it."""
        choice = None if self.choice is None else clean(self.choice)
        return Gold(choice, {clean(scale): value for scale, value in self.scales.items()})

    def right(self, rating: Rating) -> bool:
        """Whether a rater saw it; a scale may be off by one."""
        if self.choice is not None and rating.choice != self.choice:
            return False
        said = next(iter(rating.scales.values()), {})
        return all(abs(said.get(scale, -9) - value) <= SCALE_SLACK for scale, value in self.scales.items())


@dataclass(frozen=True)
class NewItem:
    """Something to judge, for the registered name `name`. Raises DataError when it makes no sense.

    `priority` is how much there is to learn from it, 0 to 1, as a model sees it; `request` the request in the traffic
    log that it comes from.
    """

    name: str
    kind: Kind
    messages: list[Message]
    answers: list[Answer]
    priority: float = 0.0
    gold: Gold | None = None
    request: str | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        # What no database can hold goes first: what is checked is what is kept.
        put(self, "answers", [Answer(clean(one.source), clean(one.text)) for one in self.answers])
        put(self, "gold", self.gold and self.gold.cleaned())
        put(self, "request", None if self.request is None else _request(self.request))
        if not NAME.fullmatch(self.name):
            raise _wrong("name", f"{self.name[:80]!a} is not a registered name")
        wanted = {"pair": 2, "answer": 1}.get(self.kind)
        if wanted is None:
            raise _wrong("kind", f"{str(self.kind)[:40]!a} is neither 'pair' nor 'answer'")
        sources = self.sources
        if len(sources) != wanted:
            raise _wrong("answers", f"{'a pair has two answers' if wanted == 2 else 'one answer is wanted'}")
        if len(set(sources)) != wanted or not all(0 < len(one) <= MAX_SOURCE for one in sources):
            raise _wrong("answers", "each answer needs a source of its own, of at most 200 characters")
        if {TIE, UNSURE} & set(sources):
            raise _wrong("answers", f"'{TIE}' and '{UNSURE}' are no sources")
        if not self.messages or not all({"role", "content"} <= one.keys() for one in self.messages):
            raise _wrong("messages", "messages are a list of role and content")
        if not isfinite(self.priority) or not 0 <= self.priority <= 1:
            raise _wrong("priority", f"{self.priority} is not a number from 0 to 1")
        if self.gold is not None and self.gold.choice is not None and self.gold.choice not in (*sources, TIE):
            raise _wrong("gold", f"{self.gold.choice[:80]!a} is none of the sources")
        if self.gold is not None and self.gold.choice is None and not self.gold.scales:
            raise _wrong("gold", "it says nothing")
        put(self, "messages", [{k: clean(str(one[k])) for k in ("role", "content")} for one in self.messages])

    @property
    def sources(self) -> list[str]:
        """Whose answers they are."""
        return [one.source for one in self.answers]

    @property
    def id(self) -> str:
        """The same for the same question and answers: adding an item again adds nothing."""
        asked = [self.name, self.kind, self.messages, [asdict(one) for one in self.answers], self.request]
        return hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Item:
    """An item as it is kept."""

    id: str
    name: str
    kind: Kind
    messages: list[Message]
    answers: list[Answer]
    priority: float
    gold: Gold | None
    request: str | None
    created_at: datetime

    @property
    def sources(self) -> list[str]:
        """Whose answers they are."""
        return [one.source for one in self.answers]

    def shown_to(self, rater: str) -> list[Answer]:
        """The answers from left to right, as this rater always sees them."""
        return in_order(self.answers, self.id, rater)


@dataclass(frozen=True)
class Rating:
    """What a rater said of an item. `choice` is a source, `tie`, `unsure`, or None where nothing was to be chosen."""

    item: str
    rater: str
    at: datetime
    choice: str | None = None
    scales: Scales = field(default_factory=dict)
    correction: str | None = None
    seconds: float | None = None

    @property
    def says(self) -> bool:
        """Whether it counts as a judgement."""
        return self.choice != UNSURE


@dataclass(frozen=True)
class Correction:
    """The answer as it should have been: an example to learn from."""

    item: str
    messages: list[Message]
    answer: str
    rater: str
    at: datetime
    request: str | None = None


def in_order(answers: list[Answer], item_id: str, viewer: str) -> list[Answer]:
    """The answers of an item from left to right for one who sees them: a side is drawn by item and viewer."""
    swap = len(answers) == 2 and drawn("side", item_id, viewer) < 0.5
    return list(reversed(answers)) if swap else list(answers)


def drawn(*what: str) -> float:
    """A number from 0 to 1 that is always the same for the same words: chance that a reload does not change."""
    digest = hashlib.sha256("\x1f".join(what).encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def gold_of(value: Any) -> Gold | None:
    """What `asdict` made of a Gold, read back. Raises DataError."""
    if value is None:
        return None
    known = isinstance(value, dict) and set(value) <= {"choice", "scales"}
    scales = value.get("scales") or {} if known else {}
    if not known or not isinstance(scales, dict) or not all(type(one) is int for one in scales.values()):
        raise _wrong("gold", "gold is a choice, or scales with whole numbers")
    return Gold(value.get("choice"), dict(scales))


def _request(request: str) -> str:
    if not isinstance(request, str):
        raise _wrong("request", f"{str(request)[:40]!a} is not the id of a request")
    return clean(request)


def _wrong(field: str, what: str) -> DataError:
    return DataError(what, where=field, fix="see docs/review.md for what an item is")
