"""Which writing systems a text uses."""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache

LATIN = "Latin"
_TOGETHER = {"Hiragana": "Japanese and Chinese", "Katakana": "Japanese and Chinese", "Cjk": "Japanese and Chinese"}


@lru_cache(maxsize=1 << 16)
def script_of(letter: str) -> str | None:
    """Writing system of a letter by its Unicode name, such as `Cyrillic`; None for digits, signs and marks.

    Kana and Han count as one system: Japanese is written in all of them.
    """
    if letter.isascii():
        return LATIN if letter.isalpha() else None
    if not unicodedata.category(letter).startswith("L"):
        return None
    name = unicodedata.name(letter, "").split(" ", 1)[0]
    if (
        name in {"FULLWIDTH", "HALFWIDTH", "MODIFIER", "FEMININE", "MASCULINE", "MICRO", "SCRIPT", "DOUBLE-STRUCK"}
        or not name
    ):
        return None
    if name == "MATHEMATICAL":
        return None
    script = name.split("-")[0].capitalize()
    return _TOGETHER.get(script, script)


def count_scripts(text: str) -> dict[str, int]:
    """Number of letters of each writing system in a text."""
    if text.isascii():
        return {LATIN: 1} if any(map(str.isalpha, text)) else {}
    counts: Counter[str] = Counter()
    for letter, count in Counter(text).items():
        if script := script_of(letter):
            counts[script] += count
    return dict(counts)


LOOKALIKE = {"Latin", "Cyrillic", "Greek"}


def has_mixed_word(text: str) -> bool:
    """Whether a word joins Latin, Cyrillic or Greek letters, as `pаypal` with a Cyrillic а does."""
    for word in text.split():
        if not word.isascii() and len({script_of(letter) for letter in word if letter.isalpha()} & LOOKALIKE) > 1:
            letters = "".join(letter if letter.isalpha() else " " for letter in word).split()
            if any(len({script_of(letter) for letter in part} & LOOKALIKE) > 1 for part in letters):
                return True
    return False
