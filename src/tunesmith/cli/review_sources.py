"""Where pairs for people come from: an evaluation's report, and requests that two versions answered."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tunesmith.review.item import NewItem

SEED = "draw"
LOGGED = ("id", "request_of", "role", "version", "messages", "answer")

AT_ONCE, APART = timedelta(hours=6), timedelta(hours=1)
"""Of the log so much is read at a time; and how far from its request a shadow's answer may be."""


def from_report(name: str, path: Path, against: str) -> list[NewItem]:
    """The tuned model beside another contestant, on the rows of the report where they differ. Raises TunesmithError."""
    from tunesmith.errors import EvaluationError, did_you_mean
    from tunesmith.evaluate.result import read_report
    from tunesmith.review.item import Answer, NewItem

    report = read_report(path)
    baseline = {"base": report.base, "best_prompt": report.best_prompt}.get(against, against)
    names = [one.name for one in report.contestants]
    if baseline not in names or baseline == report.tuned:
        others = [one for one in names if one != report.tuned]
        raise EvaluationError(
            f"{against[:80]!a} is nobody to compare with", where=str(path), fix=did_you_mean(against, others)
        )
    tuned, other = (report.contestant(one).contestant.answers for one in (report.tuned, baseline))
    source = report.context.version or report.tuned
    return [
        NewItem(
            name, "pair", [{"role": "user", "content": row.prompt_text}],
            [Answer(source, ours.text), Answer(baseline, theirs.text)],
        )
        for row, ours, theirs in zip(report.rows, tuned, other, strict=True)
        if ours.text.strip() != theirs.text.strip()
    ]  # fmt: skip


def from_traffic_log(name: str, days: float) -> list[NewItem]:
    """Live and shadow answers to the same request, from the traffic log of the home at hand."""
    from datetime import UTC, datetime

    from tunesmith.cli.review_packages import need

    need(("pyarrow",), "the traffic log", "train")

    from tunesmith.monitor.traffic.read import read_traffic
    from tunesmith.store.home import find_home

    home, since, roles = find_home(), datetime.now(UTC) - timedelta(days=days), ("live", "shadow")
    shadows = read_traffic(home, name, since=since, roles=("shadow",), columns=("at",))
    if not len(shadows):
        return []
    # Stretches overlap: of each pair one holds both. The texts of all days at once may be more than fits into memory.
    begin, end = max(since, shadows["at"][0].as_py() - APART), shadows["at"][-1].as_py() + APART
    found: dict[str, NewItem] = {}
    while begin <= end:
        until = begin + AT_ONCE
        table = read_traffic(home, name, max(begin - APART, since), until, roles=roles, columns=LOGGED)
        found |= {one.id: one for one in pairs_of_traffic(name, table.to_pylist())}
        begin = until
    return list(found.values())


def pairs_of_traffic(name: str, rows: Iterable[Mapping[str, object]]) -> list[NewItem]:
    """Pair each shadow with the live request it is a copy of, where both answered and differ.

    The id of the live request goes along: what people say can be joined with its feedback.
    """
    import json

    from tunesmith.review.item import Answer, NewItem

    every = list(rows)
    live = {row["id"]: row for row in every if row["role"] == "live"}
    found = []
    for row in every:
        seen = live.get(row.get("request_of")) if row["role"] == "shadow" else None
        if seen is None or not row["answer"] or not seen["answer"] or row["answer"] == seen["answer"]:
            continue
        if row["version"] == seen["version"]:
            continue
        messages = [
            {"role": str(one.get("role")), "content": _text(one.get("content"))}
            for one in json.loads(str(seen["messages"]))
        ]
        answers = [Answer(str(one["version"]), str(one["answer"])) for one in (row, seen)]
        found.append(NewItem(name, "pair", messages, answers, request=str(seen["id"])))
    return found


def thinned(items: list[NewItem], most: int | None) -> list[NewItem]:
    """So many of them at most, drawn at random, always the same for the same items."""
    from tunesmith.review.item import drawn

    return items if most is None else sorted(items, key=lambda one: drawn(SEED, one.id))[:most]


def _text(content: object) -> str:
    """A message's text; of parts, those that are text."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return "" if content is None else str(content)
