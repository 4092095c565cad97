"""Text and numbers for people: characters that could fool a terminal or an eye are spelled out."""

from __future__ import annotations

import re
import unicodedata

KEPT = frozenset("\n\t\u200c\u200d")
"""Line breaks, tabs, and the joiners that many scripts and emoji are written with."""


def visible(text: str) -> str:
    """Spell out control characters, as `\\x1b`, and characters that turn or hide text, as `\\u202e`."""
    text = text.replace("\r\n", "\n")
    return "".join(
        _spelled(char) if unicodedata.category(char) in _HIDDEN and char not in KEPT else char for char in text
    )


def printable(text: str) -> str:
    """A log of somebody else's for the terminal: without colours, a line for each state of a bar, the rest legible."""
    return visible(_COLOUR.sub("", text).replace("\r\n", "\n").replace("\r", "\n"))


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def _spelled(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def one_line(text: str, limit: int) -> str:
    """Legible text on one line, cut to `limit` characters."""
    line = " ".join(visible(text[: 8 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def block(text: str, limit: int) -> str:
    """Legible text with its lines, cut to `limit` characters, and the cut said."""
    if len(text) <= limit:
        return visible(text)
    return f"{visible(text[:limit])}… ({len(text) - limit:,} more characters)"


def number(value: float, maximum: float | None) -> str:
    """A metric's value: three decimals for shares, two for all else."""
    return f"{value:.3f}" if maximum == 1 else f"{value:,.2f}"


def signed(value: float, maximum: float | None) -> str:
    """A difference of a metric, with its sign."""
    return f"{value:+.3f}" if maximum == 1 else f"{value:+,.2f}"


def probability(value: float | None) -> str:
    """A p-value, never rounded to nothing."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
