"""What people said of answers in traffic, as examples to learn from: corrections, and answers that were rated well."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import func, select

from tunesmith.data.example import Message
from tunesmith.store.database import Database
from tunesmith.store.home import Home
from tunesmith.store.tables import feedback, requests

if TYPE_CHECKING:
    from tunesmith.review.item import Correction

Kind = Literal["review", "correction", "rated"]

ROLES = ("live", "forced", "instead")
"""Requests that somebody waited for: of a shadow's answer nobody can say anything."""

RATINGS = ("thumb", "score")
FLAWS = ("empty", "truncated", "invalid", "refused", "repeated")
"""Answers of which one of these is true are no example, however they were rated."""


AT_ONCE = timedelta(hours=6)
"""Of the log so much is read at a time."""


@dataclass(frozen=True)
class Candidate:
    """A question and the answer that it should have. `who` is a tenant, or for a review its rater; `of` the request or
    the item that it is about."""

    kind: Kind
    messages: tuple[Message, ...]
    answer: str
    at: datetime
    who: str
    of: str

    @property
    def key(self) -> str:
        """The same for the same question, however it is spaced, with or without a system message."""
        return key_of(self.messages)

    def row(self, label: bool) -> dict[str, Any]:
        """As a row of a JSONL file; `from` says where it comes from."""
        turns: list[Any] = [*self.messages, {"role": "assistant", "content": self.answer}]
        source = {"kind": self.kind, "who": self.who, "of": self.of, "at": self.at.isoformat()}
        return {"messages": turns, **({"label": self.answer} if label else {}), "from": source}


def key_of(messages: Iterable[Message]) -> str:
    """A hash of a question: its turns but the system's, with runs of white space as one space."""
    turns = [[one["role"], " ".join((one["content"] or "").split())] for one in messages if one["role"] != "system"]
    return hashlib.sha256(json.dumps(turns, ensure_ascii=False).encode("utf-8", "replace")).hexdigest()


def said_in_traffic(
    home: Home, database: Database, name: str, since: datetime, until: datetime, min_score: float
) -> list[Candidate]:
    """Feedback of `since` < at <= `until`, joined with the traffic log by request id.

    A corrected answer is one to learn from; so is an answer that nobody corrected and every rating of which is at least
    `min_score`. Feedback on requests that were not logged is left out: there is no text; so is that on texts of which
    the log has only the beginning. Raises StoreError.
    """
    said = _feedback(database, since, until)
    if not said:
        return []
    from tunesmith.monitor.traffic.read import read_traffic

    first = first_request(database, list(said))
    if first is None:
        return []
    import pyarrow as pa

    ids = pa.array(list(said))
    found: list[Candidate] = []
    for begin in stretches(first, until):
        table = read_traffic(home, name, since=begin, until=begin + AT_ONCE, roles=ROLES)
        for row in table.filter(among(table["id"], ids)).to_pylist():
            found += _candidates(row, said[row["id"]], min_score)
    return sorted(found, key=lambda one: (one.at, one.of, one.who))


def said_in_reviews(corrections: Iterable[Correction]) -> list[Candidate]:
    """Answers that raters have corrected."""
    return [
        Candidate(
            "review",
            tuple(Message(role=turn["role"], content=turn["content"]) for turn in one.messages),
            one.answer,
            one.at,
            one.rater,
            one.item,
        )
        for one in corrections
        if one.answer.strip() and not _any_cut(turn["content"] for turn in one.messages)
    ]


def _candidates(row: dict[str, Any], said: Sequence[Any], min_score: float) -> Iterator[Candidate]:
    messages = turns_of(row["messages"])
    if messages is None or _any_cut(one["content"] for one in messages):
        return
    corrected = [one for one in said if one.metric == "correction" and (one.text or "").strip()]
    for one in corrected:
        yield Candidate("correction", messages, one.text, one.at, one.tenant, row["id"])
    ratings = [one for one in said if one.metric in RATINGS and one.value is not None]
    if corrected or not ratings or min(one.value for one in ratings) < min_score:
        return
    answer = row["answer"] or ""
    sound = row["status"] < 400 and answer.strip() and not _any_cut([answer]) and not any(row[flaw] for flaw in FLAWS)
    if sound:
        newest = max(ratings, key=lambda one: one.at)
        yield Candidate("rated", messages, answer, newest.at, newest.tenant, row["id"])


def turns_of(written: str) -> tuple[Message, ...] | None:
    """The question as turns of text; None for one that is made of anything else."""
    try:
        turns = json.loads(written)
        found = tuple(Message(role=one["role"], content=one["content"]) for one in turns)
    except (ValueError, TypeError, KeyError):
        return None
    plain = all(one["role"] in ("system", "user", "assistant") and isinstance(one["content"], str) for one in found)
    return found if plain and found and found[-1]["role"] == "user" else None


def _any_cut(texts: Iterable[str | None]) -> bool:
    """Whether of one of them the log has only the beginning: it ends with words that nobody said."""
    from tunesmith.monitor.traffic.redact import is_cut

    return any(is_cut(text or "") for text in texts)


def _feedback(database: Database, since: datetime, until: datetime) -> dict[str, list[Any]]:
    wanted = select(feedback).where(
        feedback.c.at > since, feedback.c.at <= until, feedback.c.metric.in_((*RATINGS, "correction"))
    )
    found: dict[str, list[Any]] = {}
    with database.reading() as connection:
        for row in connection.execute(wanted.order_by(feedback.c.at)):
            found.setdefault(row.request, []).append(row)
    return found


def first_request(database: Database, ids: Sequence[str]) -> datetime | None:
    """When the first of these requests was made: the log need not be read from further back."""
    moments = []
    with database.reading() as connection:
        for start in range(0, len(ids), 500):
            some = select(func.min(requests.c.at)).where(requests.c.id.in_(ids[start : start + 500]))
            moments.append(connection.execute(some).scalar())
    return min((one for one in moments if one is not None), default=None)


def stretches(first: datetime, last: datetime) -> Iterator[datetime]:
    """Beginnings of stretches of the log: it need not fit into memory at once."""
    while first <= last:
        yield first
        first += AT_ONCE


def among(column: Any, ids: Any) -> Any:
    """Which of a column's values are among these."""
    import pyarrow.compute as pc

    return pc.is_in(column, value_set=ids)
