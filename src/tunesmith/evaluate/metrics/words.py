"""Words of any script, for the metrics that count words."""

from __future__ import annotations

from functools import cache
from typing import Any

WORDS = "words-unicode"
"""Name of this tokenizer in signatures."""


@cache
def _pattern() -> Any:
    import regex

    # Chinese and Japanese write no spaces, so each character is a word there. Elsewhere a word is a run of letters,
    # marks and digits; on ASCII text this is rouge-score's own `[a-z0-9]+`. Marks are vowels in many scripts, and the
    # standard library's `\w` leaves them out.
    return regex.compile(
        r"[\p{Han}\p{Hiragana}\p{Katakana}]|[[\p{L}\p{N}\p{M}]--[\p{Han}\p{Hiragana}\p{Katakana}]]+", regex.V1
    )


def words(text: str) -> list[str]:
    """Split text into lower-case words, without punctuation."""
    found: list[str] = _pattern().findall(text.lower())
    return found
