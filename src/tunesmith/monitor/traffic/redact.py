"""Personal data and secrets taken out of texts before they are written."""

from __future__ import annotations

from tunesmith.data.audit.secret_kinds import find_secrets

MAX_TEXT = 65_536
"""Characters of one text that are kept. The patterns take 20 ms for the worst of so many."""


def shortened(text: str) -> str:
    """The first `MAX_TEXT` characters, and a word on those left out."""
    if len(text) <= MAX_TEXT:
        return text
    return f"{text[:MAX_TEXT]}[{len(text) - MAX_TEXT} characters left out]"


def redact(text: str) -> str:
    """The text with `[e-mail address]`, `[payment card]` and so on in the place of what the data audit knows."""
    parts, done = [], 0
    for found in sorted(find_secrets(text), key=lambda one: one.begin):
        parts += [text[done : found.begin], f"[{found.kind}]"]
        done = found.end
    return "".join([*parts, text[done:]]) if parts else text
