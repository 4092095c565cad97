"""One row of a golden set: a conversation with the right answer, where it comes from, and since when it counts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tunesmith.data.example import Example, Origin

RowKind = Literal["test", "labelled", "correction"]
"""Held out from the version's own data; labelled by people on rows that were not chosen for being wrong; an answer that
somebody found wrong, as it should have been."""


@dataclass(frozen=True)
class GoldenRow:
    """`messages` end with the right answer. `origin` names a dataset version, a file, a request or a review."""

    kind: RowKind
    messages: tuple[dict[str, Any], ...]
    added: datetime
    origin: str
    tools: tuple[dict[str, Any], ...] = ()

    @property
    def id(self) -> str:
        """The hash of its content, whatever it comes from."""
        return _hash([self.messages, self.tools])

    @property
    def prompt(self) -> str:
        """The hash of what is asked: rows with the same have one right answer, the newest."""
        return prompt_hash(list(self.messages))

    def example(self) -> Example:
        """The row as evaluation reads it."""
        messages: Any = [dict(one) for one in self.messages]
        return Example(messages, Origin(f"golden row {self.id}", 1), [dict(one) for one in self.tools] or None)


def prompt_hash(messages: list[Any]) -> str:
    """Of the turns before the last answer, by role and text."""
    last = max((number for number, one in enumerate(messages) if one["role"] == "assistant"), default=len(messages))
    return _hash([[one["role"], one.get("content")] for one in messages[:last]])


def _hash(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
