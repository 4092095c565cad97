"""What a rating must be to fit its item and the rubric, and what is kept of it."""

from __future__ import annotations

from tunesmith.errors import DataError
from tunesmith.review.item import MAX_RATER, TIE, UNSURE, Item, NewItem, Rating, clean
from tunesmith.review.rubric import Rubric

MAX_CORRECTION = 100_000
MAX_SECONDS = 3600.0
"""Who took longer has been away: the time is not kept."""


def check_rating(said: Rating, item: Item | NewItem, rubric: Rubric) -> None:
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


def own_words(correction: str | None, item: Item) -> str | None:
    """A corrected answer; None where it is none of the rater's own."""
    text = _plain(clean(correction or ""))
    return text if text and text not in {_plain(one.text) for one in item.answers} else None


def _plain(text: str) -> str:
    """As a form sends a text that nobody has touched."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def kept_seconds(seconds: float | None) -> float | None:
    """How long a rater took; None where that is not known."""
    return seconds if seconds is not None and 0 <= seconds <= MAX_SECONDS else None
