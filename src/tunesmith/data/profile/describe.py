"""One text as a few numbers and categories, the same for training data and for traffic."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from tunesmith.data.audit.words import WORD
from tunesmith.data.profile.language import language_of, script_of_text

NUMBERS = (
    "characters", "words", "word_length", "distinct_words", "digits", "punctuation", "capitals", "questions",
    "newlines",
)  # fmt: skip
"""`distinct_words` is the share of words that differ; `digits` and `punctuation` are shares of the characters,
`capitals` of the letters; the others are counts, `word_length` a mean."""

CATEGORIES = ("script", "language")
TURNS = "turns"
"""Only of prompts: messages before the answer, the system's apart."""

LABEL = "label"
"""Only of answers: the class, in data of classification."""

ANSWER = "answer."
"""In front of the names of what an answer's text is like."""

MAX_CHARACTERS = 20_000
"""What is looked at of a text; `characters` counts all of it."""

KINDS = ("other", "capital", "letter", "digit", "punctuation")

Description = dict[str, float | str]


def describe(messages: Sequence[Mapping[str, Any]], answer: str | None = None) -> Description:
    """What is asked in a conversation, and with `answer.` in front of each name what is answered."""
    described = describe_text(asked(messages)) | {TURNS: float(sum(one.get("role") != "system" for one in messages))}
    if answer is not None:
        described |= {f"{ANSWER}{name}": value for name, value in describe_text(answer).items()}
    return described


def asked(messages: Sequence[Mapping[str, Any]]) -> str:
    """The last user turn; the last turn of any kind where no user spoke, and nothing of no turns."""
    turns = [one for one in messages if one.get("role") == "user"] or list(messages)
    return words_of(turns[-1].get("content")) if turns else ""


def words_of(content: Any) -> str:
    """The text of a turn: a string, or the text parts of a list such as OpenAI's chat API takes."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "\n".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def describe_text(text: str) -> Description:
    """NUMBERS and CATEGORIES of any text, the empty one too."""
    head = text[:MAX_CHARACTERS]
    kinds = count_kinds(head)
    words = WORD.findall(head.lower())
    letters = kinds["capital"] + kinds["letter"]
    script = script_of_text(head)
    return {
        "characters": float(len(text)),
        "words": float(len(words)),
        "word_length": sum(map(len, words)) / max(1, len(words)),
        "distinct_words": len(set(words)) / max(1, len(words)),
        "digits": kinds["digit"] / max(1, len(head)),
        "punctuation": kinds["punctuation"] / max(1, len(head)),
        "capitals": kinds["capital"] / max(1, letters),
        "questions": float(sum(head.count(mark) for mark in "?？؟")),
        "newlines": float(head.count("\n")),
        "script": script,
        "language": language_of(words, script),
    }


def count_kinds(text: str) -> dict[str, int]:
    """How many of its characters are of each of KINDS."""
    if text.isascii():
        coded = text.encode().translate(_ASCII)
        return {kind: coded.count(code) for code, kind in enumerate(KINDS)}
    counts = dict.fromkeys(KINDS, 0)
    for letter, count in Counter(text).items():
        counts[kind_of(letter)] += count
    return counts


@lru_cache(maxsize=1 << 16)
def kind_of(letter: str) -> str:
    """`capital`, `letter`, `digit`, `punctuation` (signs too) or `other`."""
    category = unicodedata.category(letter)
    if category[0] == "L":
        return "capital" if category in {"Lu", "Lt"} else "letter"
    return {"N": "digit", "P": "punctuation", "S": "punctuation"}.get(category[0], "other")


_ASCII = bytes(KINDS.index(kind_of(chr(code))) if code < 128 else 0 for code in range(256))
