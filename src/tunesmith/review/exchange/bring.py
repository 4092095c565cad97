"""Put what a file holds into the database: all of it, or nothing where one rating does not fit."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.errors import DataError
from tunesmith.review.exchange import Brought
from tunesmith.review.fits import check_rating
from tunesmith.review.reviews import Reviews


def bring(reviews: Reviews, brought: Sequence[Brought]) -> int:
    """Add items and write their ratings down; returns how many ratings were newer. Raises DataError with the place."""
    rubrics = {name: reviews.rubric(name) for name in {one.item.name for one in brought}}
    for one in brought:
        for said in one.ratings:
            try:
                check_rating(said, one.item, rubrics[one.item.name])
            except DataError as error:
                raise DataError(error.what, where=f"{one.where}, {error.where}", fix=error.fix) from None
    reviews.add([one.item for one in brought])
    return reviews.bring_in(said for one in brought for said in one.ratings)
