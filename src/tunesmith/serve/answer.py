"""What an answer was, read after it has been passed on: empty, cut off, or not what its schema allows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

DONE = b"[DONE]"
TOKENS = re.compile(rb'"completion_tokens":\s*(\d+)')


@dataclass(frozen=True)
class Looked:
    """Each None where it does not apply or cannot be said."""

    empty: bool | None = None
    truncated: bool | None = None
    invalid: bool | None = None


def answered_tokens(raw: bytes) -> int:
    """Tokens of a whole answer, as the engine counted them; 0 where it did not."""
    found = TOKENS.findall(raw[-4096:])
    return int(found[-1]) if found else 0


def look(raw: bytes, stream: bool, json_schema: dict[str, Any] | None = None) -> Looked:
    """Look at an engine's whole answer of the first choice: a JSON object, or the events of a stream."""
    try:
        text, calls, reason = _stream(raw) if stream else _whole(orjson.loads(raw))
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError):
        return Looked()
    if reason is None:
        return Looked()
    truncated = reason == "length"
    invalid = None
    if json_schema is not None and not truncated:
        invalid = not _fits(text, orjson.dumps(json_schema, option=orjson.OPT_SORT_KEYS))
    return Looked(not text.strip() and not calls, truncated, invalid)


def _whole(body: dict[str, Any]) -> tuple[str, bool, str | None]:
    choice = body["choices"][0]
    message = choice.get("message") or {}
    text = choice["text"] if "text" in choice else message.get("content") or ""
    return text, bool(message.get("tool_calls")), choice.get("finish_reason")


def _stream(raw: bytes) -> tuple[str, bool, str | None]:
    text: list[str] = []
    calls, reason = False, None
    for line in raw.split(b"\n"):
        if not line.startswith(b"data: ") or line[6:] == DONE:
            continue
        for choice in orjson.loads(line[6:]).get("choices", ()):
            if choice.get("index", 0) == 0:
                delta = choice.get("delta") or {}
                text.append(choice["text"] if "text" in choice else delta.get("content") or "")
                calls = calls or bool(delta.get("tool_calls"))
                reason = choice.get("finish_reason") or reason
    return "".join(text), calls, reason


def _fits(text: str, schema: bytes) -> bool:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return bool(_validator(schema).is_valid(value))


@lru_cache(maxsize=16)
def _validator(schema: bytes) -> Any:
    import jsonschema_rs

    return jsonschema_rs.validator_for(orjson.loads(schema))
