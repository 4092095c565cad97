"""Items and ratings in SQL: added once, rated by many at a time, the last word of each rater counts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, func, insert, select, update

from tunesmith.errors import DataError, StoreError
from tunesmith.registry.check import check_name
from tunesmith.review.fits import check_rating, kept_seconds, own_words
from tunesmith.review.item import Correction, Item, NewItem, Rating
from tunesmith.review.queue import Entry, Progress, Queue
from tunesmith.review.renamed import NO_NAMES, renamed
from tunesmith.review.rows import item_of, rating_of, ratings_of, row_of
from tunesmith.review.rubric import Rubric
from tunesmith.store.clock import utc_now
from tunesmith.store.database import Database
from tunesmith.store.tables import review_items, review_ratings, review_rubrics

if TYPE_CHECKING:
    from tunesmith.review.preference import Preferences
    from tunesmith.review.results import Results

LOCK = "reviews"
EPOCH = datetime.fromtimestamp(0, UTC)

AT_ONCE = 500
"""Items that are looked up in one statement."""


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
            made = [row_of(one, now) for one in new.values() if one.id not in known]
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
        said = Rating(
            item, rater, self._now(), choice, scales or {}, own_words(correction, found), kept_seconds(seconds)
        )
        check_rating(said, found, self.rubric(found.name))
        with self._database.writing(LOCK) as connection:
            _put(connection, said)
        return said

    def bring_in(self, ratings: Iterable[Rating]) -> int:
        """Write down ratings from elsewhere, all or none; of two by the same rater the later counts. Returns how many
        were newer. Raises DataError for one that fits no item."""
        every = list(ratings)
        items = self._found({said.item for said in every})
        rubrics = {name: self.rubric(name) for name in {item.name for item in items.values()}}
        for said in every:
            check_rating(said, items[said.item], rubrics[items[said.item].name])
        ids = list(items)
        with self._database.writing(LOCK) as connection:
            before: dict[tuple[str, str], datetime] = {}
            for start in range(0, len(ids), AT_ONCE):
                asked = select(review_ratings.c.item, review_ratings.c.rater, review_ratings.c.at)
                rows = connection.execute(asked.where(review_ratings.c.item.in_(ids[start : start + AT_ONCE])))
                before.update({(row.item, row.rater): row.at for row in rows})
            newer: dict[tuple[str, str], Rating] = {}
            for said in sorted(every, key=lambda one: one.at):
                key = (said.item, said.rater)
                if key not in before or before[key] < said.at:
                    newer[key] = said
            for said in newer.values():
                if (said.item, said.rater) in before:
                    connection.execute(delete(review_ratings).where(*_mine(said)))
            if newer:
                connection.execute(insert(review_ratings), [asdict(one) for one in newer.values()])
        return len(newer)

    def item(self, item_id: str) -> Item:
        """One item. Raises DataError when there is none."""
        return self._found({item_id})[item_id]

    def items(self, name: str) -> list[Item]:
        """All items of a name, oldest first."""
        asked = select(review_items).where(review_items.c.name == name)
        with self._database.reading() as connection:
            rows = connection.execute(asked.order_by(review_items.c.created_at, review_items.c.id))
            return [item_of(row) for row in rows]

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
            return ratings_of(connection, name)

    def rating(self, item: str, rater: str) -> Rating | None:
        """What one rater said of one item."""
        asked = select(review_ratings).where(review_ratings.c.item == item, review_ratings.c.rater == rater)
        with self._database.reading() as connection:
            row = connection.execute(asked).one_or_none()
        return None if row is None else rating_of(row)

    def next(self, name: str, rater: str) -> tuple[str | None, Progress]:
        """The item this rater sees next, and how far the rater is; None when all is done."""
        return self._queue(name).next(rater)

    def judged(self, name: str, sources: Collection[str]) -> Progress:
        """How many pairs of two sources have every rating that the rubric wants, of how many."""
        return self._queue(name).judged(sources)

    def before(self, name: str, rater: str, item: str | None = None) -> str | None:
        """The item the rater rated last; with `item`, the last before that one, if it is rated."""
        asked = select(review_ratings.c.item).join(review_items, review_items.c.id == review_ratings.c.item)
        asked = asked.where(review_items.c.name == name, review_ratings.c.rater == rater)
        with self._database.reading() as connection:
            ids = list(connection.execute(asked.order_by(review_ratings.c.at, review_ratings.c.item)).scalars())
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
        check_name(name)
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

        return prefer(*self.all(name), candidate, baseline)

    def results(self, name: str, names: Mapping[str, str] = NO_NAMES) -> Results:
        """All that the ratings of a name say, with the sources that `names` has called so."""
        from tunesmith.review.results import conclude

        return conclude(name, *self.all(name, names), self.rubric(name))

    def all(self, name: str, names: Mapping[str, str] = NO_NAMES) -> tuple[list[Item], list[Rating]]:
        """Items and ratings of a name, oldest first, with the sources that `names` has called so."""
        # Ratings first: items stay for good, so none of them is without its item, whatever is added meanwhile.
        ratings = self.ratings(name)
        return renamed(self.items(name), ratings, names)

    def _found(self, wanted: set[str]) -> dict[str, Item]:
        """Items by their ids. Raises DataError for one that there is not."""
        ids, found = sorted(wanted), {}
        with self._database.reading() as connection:
            for start in range(0, len(ids), AT_ONCE):
                asked = select(review_items).where(review_items.c.id.in_(ids[start : start + AT_ONCE]))
                found.update({row.id: item_of(row) for row in connection.execute(asked)})
        for one in ids:
            if one not in found:
                raise _no_item(one)
        return found

    def _queue(self, name: str) -> Queue:
        table = review_items.c
        asked = select(table.id, table.priority, table.gold, table.sources).where(table.name == name)
        with self._database.reading() as connection:
            entries = [
                Entry(row.id, row.priority, row.gold is not None, tuple(row.sources))
                for row in connection.execute(asked.order_by(table.id))
            ]
            # Only what the queue looks at: this is read with every page.
            said = review_ratings.c
            light = select(said.item, said.rater, said.choice, said.scales).join(review_items, table.id == said.item)
            rows = connection.execute(light.where(table.name == name))
            ratings = [Rating(item, rater, EPOCH, choice, scales) for item, rater, choice, scales in rows]
        return Queue.of(name, entries, ratings, self.rubric(name))


def _no_item(item: str) -> DataError:
    return DataError(f"there is no item {item[:40]!a}", where="item", fix="`tunesmith review ls` counts them")


def _put(connection: Connection, said: Rating) -> None:
    connection.execute(delete(review_ratings).where(*_mine(said)))
    connection.execute(insert(review_ratings).values(asdict(said)))


def _mine(said: Rating) -> tuple[Any, ...]:
    return review_ratings.c.item == said.item, review_ratings.c.rater == said.rater
