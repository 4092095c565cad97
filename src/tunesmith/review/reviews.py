"""Items and ratings in SQL: added once, rated by many at a time, the last word of each rater counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, func, insert, select, update

from tunesmith.errors import DataError, StoreError
from tunesmith.review.item import MAX_RATER, TIE, UNSURE, Answer, Correction, Item, NewItem, Rating, clean, gold_of
from tunesmith.review.queue import Entry, Progress, Queue
from tunesmith.review.rubric import Rubric
from tunesmith.store.database import Database
from tunesmith.store.tables import review_items, review_ratings, review_rubrics

if TYPE_CHECKING:
    from tunesmith.review.preference import Preferences
    from tunesmith.review.results import Results

LOCK = "reviews"
MAX_CORRECTION = 100_000
MAX_SECONDS = 3600.0
"""Who took longer has been away: the time is not kept."""

AT_ONCE = 500
"""Items that are looked up in one statement."""


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class Reviews:
    """What people are asked and what they said, of one database."""

    def __init__(self, database: Database, now: Callable[[], datetime] = utc_now) -> None:
        self._database, self._now = database, now

    def add(self, items: Sequence[NewItem]) -> list[str]:
        """Put items before people and return their ids. One that is there already is only moved up, not added twice."""
        new, now = {one.id: one for one in items}, self._now()
        ids = list(new)
        with self._database.writing(LOCK) as connection:
            known: dict[str, float] = {}
            for start in range(0, len(ids), AT_ONCE):
                asked = select(review_items.c.id, review_items.c.priority)
                rows = connection.execute(asked.where(review_items.c.id.in_(ids[start : start + AT_ONCE])))
                known.update({row.id: row.priority for row in rows})
            made = [_row(one, now) for one in new.values() if one.id not in known]
            if made:
                connection.execute(insert(review_items), made)
            for one in new.values():
                if one.id in known and one.priority > known[one.id]:
                    changed = update(review_items).where(review_items.c.id == one.id)
                    connection.execute(changed.values(priority=one.priority))
        return [one.id for one in items]

    def rate(
        self,
        item: str,
        rater: str,
        choice: str | None = None,
        scales: dict[str, dict[str, int]] | None = None,
        correction: str | None = None,
        seconds: float | None = None,
    ) -> Rating:
        """Write down what a rater says, in the place of what was said before. Raises DataError naming the field."""
        found = self.item(item)
        said = Rating(item, rater, self._now(), choice, scales or {}, _text(correction, found), _seconds(seconds))
        check_rating(said, found, self.rubric(found.name))
        with self._database.writing(LOCK) as connection:
            _put(connection, said)
        return said

    def bring_in(self, ratings: Iterable[Rating]) -> int:
        """Write down ratings from elsewhere, all or none; of two by the same rater the later counts. Returns how many
        were newer. Raises DataError for one that fits no item.
        """
        every = list(ratings)
        items = {item: self.item(item) for item in {said.item for said in every}}
        rubrics = {name: self.rubric(name) for name in {item.name for item in items.values()}}
        for said in every:
            check_rating(said, items[said.item], rubrics[items[said.item].name])
        brought = 0
        with self._database.writing(LOCK) as connection:
            for said in every:
                before = connection.execute(select(review_ratings.c.at).where(*_mine(said))).scalar()
                if before is None or before < said.at:
                    _put(connection, said)
                    brought += 1
        return brought

    def item(self, item_id: str) -> Item:
        """One item. Raises DataError when there is none."""
        with self._database.reading() as connection:
            row = connection.execute(select(review_items).where(review_items.c.id == item_id)).one_or_none()
        if row is None:
            raise DataError(f"there is no item {item_id[:40]!a}", where="item", fix="`tunesmith review ls` counts them")
        return _item(row)

    def items(self, name: str) -> list[Item]:
        """All items of a name, oldest first."""
        asked = select(review_items).where(review_items.c.name == name)
        with self._database.reading() as connection:
            rows = connection.execute(asked.order_by(review_items.c.created_at, review_items.c.id))
            return [_item(row) for row in rows]

    def names(self) -> dict[str, tuple[int, int]]:
        """Name -> number of items and of ratings."""
        items = select(review_items.c.name, func.count()).group_by(review_items.c.name)
        ratings = (
            select(review_items.c.name, func.count())
            .join(review_ratings, review_ratings.c.item == review_items.c.id)
            .group_by(review_items.c.name)
        )
        with self._database.reading() as connection:
            rated = {name: int(count) for name, count in connection.execute(ratings)}
            return {
                name: (int(count), rated.get(name, 0))
                for name, count in connection.execute(items.order_by(review_items.c.name))
            }

    def ratings(self, name: str) -> list[Rating]:
        """Everything that was said of a name's items, oldest first."""
        with self._database.reading() as connection:
            return _ratings(connection, name)

    def rating(self, item: str, rater: str) -> Rating | None:
        """What one rater said of one item."""
        asked = select(review_ratings).where(review_ratings.c.item == item, review_ratings.c.rater == rater)
        with self._database.reading() as connection:
            row = connection.execute(asked).one_or_none()
        return None if row is None else _rating(row)

    def next(self, name: str, rater: str) -> tuple[str | None, Progress]:
        """The item this rater sees next, and how far the rater is; None when all is done."""
        queue = self._queue(name)
        return queue.next(rater), queue.progress(rater)

    def before(self, name: str, rater: str, item: str | None = None) -> str | None:
        """The item the rater rated last; with `item`, the last before that one, if it is rated."""
        mine = [said for said in self.ratings(name) if said.rater == rater]
        ids = [said.item for said in mine]
        end = ids.index(item) if item in ids else len(ids)
        return ids[end - 1] if end else None

    def corrections(self, name: str, since: datetime | None = None) -> list[Correction]:
        """Answers that raters typed, oldest first, without those of items that only check raters."""
        items = {one.id: one for one in self.items(name) if one.gold is None}
        return [
            Correction(said.item, items[said.item].messages, said.correction, said.rater, said.at,
                       items[said.item].request)
            for said in self.ratings(name)
            if said.correction and said.item in items and (since is None or said.at > since)
        ]  # fmt: skip

    def rubric(self, name: str) -> Rubric:
        """How the answers of a name are judged."""
        with self._database.reading() as connection:
            kept = connection.execute(select(review_rubrics.c.rubric).where(review_rubrics.c.name == name)).scalar()
        return Rubric() if kept is None else Rubric.model_validate(kept)

    def set_rubric(self, name: str, rubric: Rubric) -> None:
        """Judge them by another rubric from now on. Raises StoreError where that would make ratings meaningless."""
        values = {"rubric": rubric.model_dump(mode="json"), "changed_at": self._now()}
        before = {scale.name: scale for scale in self.rubric(name).scales}
        used = {scale for said in self.ratings(name) for scales in said.scales.values() for scale in scales}
        for scale in rubric.scales:
            old = before.get(scale.name)
            if old is not None and scale.name in used and (old.low, old.high) != (scale.low, scale.high):
                raise StoreError(
                    f"'{scale.name}' was rated from {old.low} to {old.high} already", where="scales",
                    fix="give the new scale another name",
                )  # fmt: skip
        with self._database.writing(LOCK) as connection:
            connection.execute(delete(review_rubrics).where(review_rubrics.c.name == name))
            connection.execute(insert(review_rubrics).values(name=name, **values))

    def preferences(self, name: str, candidate: str, baseline: str) -> Preferences:
        """How often people found one source better than another."""
        from tunesmith.review.preference import prefer

        return prefer(self.items(name), self.ratings(name), candidate, baseline)

    def results(self, name: str) -> Results:
        """All that the ratings of a name say."""
        from tunesmith.review.results import conclude

        return conclude(name, self.items(name), self.ratings(name), self.rubric(name))

    def _queue(self, name: str) -> Queue:
        table = review_items.c
        asked = select(table.id, table.priority, table.gold, table.sources).where(table.name == name)
        with self._database.reading() as connection:
            entries = [
                Entry(row.id, row.priority, row.gold is not None, tuple(row.sources))
                for row in connection.execute(asked.order_by(table.id))
            ]
            ratings = _ratings(connection, name)
        return Queue.of(name, entries, ratings, self.rubric(name))


def check_rating(said: Rating, item: Item, rubric: Rubric) -> None:
    """Refuse a rating that fits neither item nor rubric. Raises DataError naming the field."""
    if not said.rater or len(said.rater) > MAX_RATER:
        raise DataError("a rater is a name of at most 64 characters", where="rater")
    if said.choice is None and item.kind == "pair":
        raise DataError("nothing is chosen", where="choice", fix="choose an answer, that both are as good, or neither")
    allowed = [*item.sources, TIE, UNSURE] if item.kind == "pair" else [UNSURE]
    if said.choice is not None and said.choice not in allowed:
        raise DataError(f"{said.choice[:80]!a} is nothing to choose", where="choice")
    known = {scale.name: scale for scale in rubric.scales}
    for source, scales in said.scales.items():
        if source not in item.sources:
            raise DataError(f"{source[:80]!a} gave no answer", where="scales")
        for name, value in scales.items():
            if name not in known or value not in known[name].values:
                raise DataError(f"{name[:40]!a} cannot be {value}", where="scales", fix=f"scales: {', '.join(known)}")
    if item.kind == "answer" and said.choice is None and not any(said.scales.values()) and not said.correction:
        raise DataError("nothing is said", where="scales", fix="give every scale a number, or a better answer")
    if said.correction and len(said.correction) > MAX_CORRECTION:
        raise DataError(f"it has more than {MAX_CORRECTION:,} characters", where="correction")


def _text(correction: str | None, item: Item) -> str | None:
    """A corrected answer; None where it is none of the rater's own."""
    text = clean(correction or "").replace("\r\n", "\n").strip()
    return text if text and text not in {one.text.strip() for one in item.answers} else None


def _seconds(seconds: float | None) -> float | None:
    return seconds if seconds is not None and 0 <= seconds <= MAX_SECONDS else None


def _put(connection: Connection, said: Rating) -> None:
    connection.execute(delete(review_ratings).where(*_mine(said)))
    connection.execute(insert(review_ratings).values(asdict(said)))


def _mine(said: Rating) -> tuple[Any, ...]:
    return review_ratings.c.item == said.item, review_ratings.c.rater == said.rater


def _row(new: NewItem, now: datetime) -> dict[str, Any]:
    content = {"messages": new.messages, "answers": [asdict(one) for one in new.answers], "request": new.request}
    return {
        "id": new.id, "name": new.name, "kind": new.kind, "priority": new.priority, "content": content,
        "sources": [one.source for one in new.answers], "gold": asdict(new.gold) if new.gold else None,
        "created_at": now,
    }  # fmt: skip


def _item(row: Any) -> Item:
    content = row.content
    return Item(
        row.id, row.name, row.kind, content["messages"], [Answer(**one) for one in content["answers"]], row.priority,
        gold_of(row.gold), content["request"], row.created_at,
    )  # fmt: skip


def _ratings(connection: Connection, name: str) -> list[Rating]:
    asked = select(review_ratings).join(review_items, review_items.c.id == review_ratings.c.item)
    rows = connection.execute(
        asked.where(review_items.c.name == name).order_by(review_ratings.c.at, review_ratings.c.item)
    )
    return [_rating(row) for row in rows]


def _rating(row: Any) -> Rating:
    return Rating(row.item, row.rater, row.at, row.choice, row.scales, row.correction, row.seconds)
