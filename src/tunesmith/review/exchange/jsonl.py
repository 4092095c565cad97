"""One item a line, with its ratings: everything that is kept, and the form for items of one's own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tunesmith.errors import DataError
from tunesmith.review.exchange import Brought
from tunesmith.review.exchange.typed import WRONG, json_of, rating_from
from tunesmith.review.item import Answer, Item, NewItem, Rating, gold_of

FIELDS = {"name", "kind", "messages", "answers", "priority", "gold", "request", "ratings"}
FIX = "write a line as `tunesmith review export` does; docs/review.md shows one"


def lines_of(items: Iterable[Item], ratings: Mapping[str, Sequence[Rating]]) -> Iterator[str]:
    """A line for each item, without its line break."""
    for one in items:
        said = [
            {**{key: value for key, value in asdict(rating).items() if key != "item"}, "at": rating.at.isoformat()}
            for rating in ratings.get(one.id, ())
        ]
        kept = {
            "name": one.name, "kind": one.kind, "messages": one.messages,
            "answers": [asdict(answer) for answer in one.answers], "priority": one.priority,
            "gold": asdict(one.gold) if one.gold else None, "request": one.request, "ratings": said,
        }  # fmt: skip
        yield json.dumps(kept, ensure_ascii=False)


def read_lines(lines: Iterable[str], place: str, name: str | None = None) -> list[Brought]:
    """Read them. `name` stands in for a line that names none; empty lines are passed over. Raises DataError."""
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{place}:{number}"
            try:
                value = json_of(line)
            except ValueError as error:
                raise DataError(f"this is not JSON: {error}", where=where, fix=FIX) from None
            found.append(brought_of(value, where, name))
    return found


def brought_of(value: Any, where: str, name: str | None = None) -> Brought:
    """One object as an item with ratings. Raises DataError naming the place."""
    if not isinstance(value, dict):
        raise DataError("a line is an object", where=where, fix=FIX)
    if unknown := sorted(set(value) - FIELDS):
        raise DataError(f"{str(unknown[0])[:40]!a} is no part of an item", where=where, fix=FIX)
    try:
        answers = [Answer(str(one["source"]), str(one["text"])) for one in value.get("answers") or ()]
        item = NewItem(
            str(value.get("name") or name or ""), value.get("kind") or ("pair" if len(answers) == 2 else "answer"),
            value.get("messages") or [], answers, float(value.get("priority") or 0.0), gold_of(value.get("gold")),
            value.get("request"),
        )  # fmt: skip
        return Brought(item, tuple(_rating(one, item.id) for one in value.get("ratings") or ()), where)
    except DataError as error:
        raise DataError(error.what, where=f"{where}, {error.where}", fix=FIX) from None
    except WRONG as error:
        raise DataError(f"a part is missing or of another kind ({error})", where=where, fix=FIX) from None


def _rating(value: dict[str, Any], item: str) -> Rating:
    said = (value.get(key) for key in ("choice", "scales", "correction", "seconds"))
    return rating_from(item, value["rater"], value["at"], *said)
