"""Items and ratings with sources under another name: what was judged before it was registered has a version since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tunesmith.review.item import Answer, Item, Rating

NO_NAMES: Mapping[str, str] = {}


def renamed(
    items: Sequence[Item], ratings: Iterable[Rating], names: Mapping[str, str]
) -> tuple[list[Item], list[Rating]]:
    """The same, with the sources that `names` has called so: copies, with the same ids and sides.

    An item both of whose answers would have the same source is left as it is.
    """

    def now(source: str) -> str:
        return names.get(source, source)

    distinct = {one.id for one in items if len({now(source) for source in one.sources}) == len(one.sources)}
    return (
        [_item(one, names) if one.id in distinct else one for one in items],
        [
            replace(
                one,
                choice=None if one.choice is None else now(one.choice),
                scales={now(source): scales for source, scales in one.scales.items()},
            )
            if one.item in distinct
            else one
            for one in ratings
        ],
    )


def _item(one: Item, names: Mapping[str, str]) -> Item:
    answers = [Answer(names.get(answer.source, answer.source), answer.text) for answer in one.answers]
    gold = one.gold
    if gold is not None and gold.choice is not None:
        gold = replace(gold, choice=names.get(gold.choice, gold.choice))
    return replace(one, answers=answers, gold=gold)
