"""Personal data and secrets taken out of texts before they are written."""

from __future__ import annotations

import json
import re
from typing import Any

from tunesmith.data.audit.secret_kinds import find_secrets

MAX_TEXT = 65_536
"""Characters of one text that are kept. The patterns take 20 ms for the worst of so many."""

BEYOND = 20_480
"""Characters behind them that are looked at too: what begins before the cut is known by its end. It is as long as the
longest private key."""

CUT = re.compile(r"\[\d+ characters left out\]$")
ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|([bfnrt"/\\]))')
ESCAPED = {"b": " ", "f": " ", "n": "\n", "r": "\r", "t": "\t"}


def shortened(text: str) -> str:
    """The first `MAX_TEXT` characters, and a word on those left out."""
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}{_left_out(text)}"


def is_cut(text: str) -> bool:
    """Whether a text of the log is only the beginning of one."""
    return CUT.search(text) is not None


def redact(text: str) -> str:
    """The text with `[e-mail address]`, `[payment card]` and so on in the place of what the data audit knows."""
    return _redacted(text, len(text))


def redacted_and_shortened(text: str) -> str:
    """Redacted first: half a card number at the end of what is kept would not be known as one."""
    if len(text) <= MAX_TEXT:
        return redact(text)
    return f"{_redacted(text[: MAX_TEXT + BEYOND], MAX_TEXT)}{_left_out(text)}"


def clean_json(text: str) -> str:
    """JSON with each of its texts cleaned, as a whole no longer than a text may be.

    It is taken apart for that: `\\u0040` is an @, and `\\n` before a number no letter. What is no JSON, or not all of
    it, is cleaned as a text, with its escapes undone.
    """
    if len(text) <= MAX_TEXT + BEYOND:
        try:
            return shortened(dump(_cleaned(json.loads(text))))
        except (ValueError, RecursionError):
            pass
    # Arguments in a call in a list of calls are escaped twice.
    return redacted_and_shortened(_unescaped(_unescaped(text[: 4 * (MAX_TEXT + BEYOND)])))


def dump(value: Any) -> str:
    """As JSON. Half a character, which JSON may hold, becomes a question mark."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()


def _cleaned(value: Any) -> Any:
    """Names of fields are cleaned too; `arguments` are JSON themselves. A number that is a card's becomes a text."""
    if isinstance(value, str):
        return redacted_and_shortened(value)
    if isinstance(value, dict):
        return {
            redact(name): clean_json(one) if name == "arguments" and isinstance(one, str) else _cleaned(one)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [_cleaned(one) for one in value]
    if isinstance(value, bool) or value is None:
        return value
    written = json.dumps(value)
    cleaned = redact(written)
    return value if cleaned == written else cleaned


def _redacted(text: str, most: int) -> str:
    """The first `most` characters, redacted: with what begins in them and ends behind them."""
    parts, done = [], 0
    for found in sorted(find_secrets(text), key=lambda one: one.begin):
        if found.begin >= most:
            break
        parts += [text[done : found.begin], f"[{found.kind}]"]
        done = found.end
    return "".join([*parts, text[done:most]])


def _left_out(text: str) -> str:
    return f"[{len(text) - MAX_TEXT} characters left out]"


def _unescaped(text: str) -> str:
    def meant(found: re.Match[str]) -> str:
        code, letter = found.groups()
        return chr(int(code, 16)) if code else ESCAPED.get(letter, letter)

    return ESCAPE.sub(meant, text).encode("utf-8", "replace").decode()
