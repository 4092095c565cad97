"""From what a gateway has in its hands to a row: the answer put together, redacted, looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from tunesmith.monitor.traffic.redact import clean_json, redacted_and_shortened, shortened
from tunesmith.monitor.traffic.rows import TrafficRow
from tunesmith.monitor.traffic.traits import is_refusal, is_repeated
from tunesmith.registry.check import check_name

DATA = b"data: "

ROLES = ("system", "user", "assistant", "tool", "developer", "function")
"""Who may speak in a conversation. What else a client writes there is text of its own making."""

MAX_NAME = 200

Clean = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as the gateway saw it: bytes, looked at later and elsewhere.

    `noted` has the values of `tunesmith_requests`; `asked` is the client's body; `answered` the engine's answer in
    pieces as they came, events where `stream`; `request_of` the request that a shadow's copies.
    """

    name: str
    noted: dict[str, Any]
    path: str
    asked: bytes
    answered: list[bytes] = field(default_factory=list)
    stream: bool = False
    request_of: str | None = None

    @property
    def size(self) -> int:
        """Bytes that it takes in memory, about: Python adds 33 to each piece and a list 8."""
        return 1500 + len(self.asked) + sum(map(len, self.answered)) + 41 * len(self.answered)


@dataclass
class Answer:
    """An engine's answer put together, of several choices the first; with the pieces that its text came in."""

    pieces: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    answer_tokens: int | None = None

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.pieces)


def row_of(seen: Seen, redacting: bool = True) -> TrafficRow | None:
    """The row to write; None for a request whose prompt is no text: embeddings, token ids.

    Raises RegistryError, ValueError, KeyError, TypeError or AttributeError for what is no request or no answer.
    """
    body, noted = orjson.loads(seen.asked), seen.noted
    clean, clean_calls = (redacted_and_shortened, clean_json) if redacting else (shortened, shortened)
    messages = _messages(body, clean, clean_calls)
    if messages is None:
        return None
    common = {
        "id": noted["id"], "at": datetime.fromtimestamp(noted["at"], UTC), "name": check_name(seen.name),
        "path": seen.path, "request_of": seen.request_of, "stream": seen.stream,
        "messages": _json(messages),
    } | {
        key: noted.get(key)
        for key in ("model", "version", "experiment", "variant", "role", "unit", "tenant", "status", "first_seconds",
                    "seconds")
    }  # fmt: skip
    # 499: a client that left. What it got until then is an answer all the same.
    if not seen.answered or (noted["status"] >= 400 and noted["status"] != 499):
        return TrafficRow(**common)
    answer = _answer(seen)
    text, reason = answer.text, answer.finish_reason
    invalid = noted.get("invalid")
    if invalid is None and reason == "stop" and _wants_json(body):
        invalid = not _is_json(text)
    return TrafficRow(
        **common,
        answer=clean(text),
        calls=_calls(answer.calls, clean, clean_calls),
        finish_reason=reason,
        prompt_tokens=answer.prompt_tokens,
        answer_tokens=answer.answer_tokens,
        empty=not text.strip() and not answer.calls if reason else None,
        truncated=reason == "length" if reason else None,
        invalid=invalid,
        refused=is_refusal(text) if text else None,
        repeated=is_repeated(text) if text else None,
    )


def _messages(body: dict[str, Any], clean: Clean, clean_calls: Clean) -> list[dict[str, str]] | None:
    if "messages" not in body:
        prompt = body.get("prompt")
        if isinstance(prompt, list) and len(prompt) == 1:
            prompt = prompt[0]
        return [{"role": "user", "content": clean(prompt)}] if isinstance(prompt, str) else None
    return [
        {"role": one["role"] if one["role"] in ROLES else "other", "content": _content(one, clean, clean_calls)}
        for one in body["messages"]
    ]


def _content(message: dict[str, Any], clean: Clean, clean_calls: Clean) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return clean("".join(str(part.get("text") or part.get("refusal") or "") for part in content))
    if not content and (calls := message.get("tool_calls")):
        return clean_calls(_json(calls))
    return clean(content or "")


def _calls(calls: list[dict[str, str]], clean: Clean, clean_calls: Clean) -> str | None:
    """What an answer calls, as JSON: the model has written the names too."""
    if not calls:
        return None
    return _json([
        {"name": clean(one["name"])[:MAX_NAME], "arguments": clean_calls(one["arguments"])} for one in calls
    ])  # fmt: skip


def _answer(seen: Seen) -> Answer:
    raw, found = b"".join(seen.answered), Answer()
    if not seen.stream:
        _take(found, orjson.loads(raw), "message")
        return found
    events = [line[len(DATA) :] for line in raw.split(b"\n") if line.startswith(DATA + b"{")]
    try:
        bodies = orjson.loads(b"[" + b",".join(events) + b"]")
    except ValueError:
        # The last event of a client that left is half of one.
        bodies = orjson.loads(b"[" + b",".join(events[:-1]) + b"]")
    for body in bodies:
        _take(found, body, "delta")
    if found.answer_tokens is None:
        found.answer_tokens = len(found.pieces)
    return found


def _take(found: Answer, body: dict[str, Any], key: str) -> None:
    for choice in body.get("choices") or ():
        if choice.get("index"):
            continue
        said = choice.get(key) or choice
        # A chat's choice has `content` in its message or delta, one of a completion has `text`.
        if piece := said.get("content") or choice.get("text"):
            found.pieces.append(str(piece))
        if calls := said.get("tool_calls"):
            for call in calls:
                _add_call(found.calls, call)
        if reason := choice.get("finish_reason"):
            found.finish_reason = str(reason)
    if usage := body.get("usage"):
        found.prompt_tokens = _count(usage.get("prompt_tokens"), found.prompt_tokens)
        found.answer_tokens = _count(usage.get("completion_tokens"), found.answer_tokens)


def _add_call(calls: list[dict[str, str]], piece: dict[str, Any]) -> None:
    """A call of a tool, or a piece of one: a stream brings the name first, and the arguments bit by bit."""
    number, said = piece.get("index"), piece.get("function") or {}
    if not isinstance(number, int) or not 0 <= number < len(calls):
        calls.append({"name": "", "arguments": ""})
        number = -1
    calls[number]["name"] += str(said.get("name") or "")
    calls[number]["arguments"] += str(said.get("arguments") or "")


def _count(value: object, before: int | None) -> int | None:
    return value if isinstance(value, int) else before


def _wants_json(body: dict[str, Any]) -> bool:
    wanted = body.get("response_format")
    return isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema")


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
