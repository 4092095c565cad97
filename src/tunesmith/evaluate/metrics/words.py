"""Words of any script, for the metrics that count words."""

from __future__ import annotations

from functools import cache
from typing import Any

WORDS = "words-unicode"
"""Name of this tokenizer in signatures."""

SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Scripts written without spaces between words, as part of a character class."""


@cache
def _pattern() -> Any:
    import regex

    # Where no space parts words, each letter with its marks is one. Elsewhere a word is a run of letters, marks and
    # digits; on ASCII text this is rouge-score's own `[a-z0-9]+`. Marks are vowels in many scripts, and the standard
    # library's \w leaves them out.
    return regex.compile(rf"[{SPACELESS}]\p{{M}}*|[[\p{{L}}\p{{N}}\p{{M}}]--[{SPACELESS}]]+", regex.V1)


def words(text: str) -> list[str]:
    """Split text into lower-case words, without punctuation."""
    found: list[str] = _pattern().findall(text.lower())
    return found
