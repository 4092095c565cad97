"""What a browser sends: bounded, and turned into a rating of the sources that stood on the sides."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from fastapi import HTTPException, Request

from tunesmith.review.item import TIE, UNSURE, Answer, Item, Rating, Scales

SIDES = ("left", "right")
MAX_BYTES = 2_000_000
MAX_FIELDS = 100

Form = dict[str, str]


async def read_form(request: Request) -> Form:
    """The fields of a plain form, the last of each name. Raises HTTPException 413 or 400."""
    size, parts = 0, []
    async for part in request.stream():
        size += len(part)
        if size > MAX_BYTES:
            raise HTTPException(413, "this is more than a page sends")
        parts.append(part)
    try:
        text = b"".join(parts).decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="replace"))
    except ValueError:
        raise HTTPException(400, "this is no form") from None


@dataclass(frozen=True)
class Said:
    """What a form says, or a rating that was made before, by side: what is shown in the form."""

    choice: str | None = None
    scales: dict[str, dict[str, int]] = field(default_factory=dict)
    correction: str = ""
    seconds: float | None = None

    @classmethod
    def of_form(cls, form: Form, kind: str, now: float | None = None) -> Said:
        """Read a form. Numbers that are none are left out."""
        scales: dict[str, dict[str, int]] = {}
        for name, value in form.items():
            side, separator, scale = name.partition(".")
            if separator and side in SIDES and value.isascii() and value.isdigit() and len(value) < 3:
                scales.setdefault(side, {})[scale] = int(value)
        shown = form.get("shown", "")
        begun = float(shown) if shown.isascii() and shown.isdigit() and len(shown) < 15 else None
        seconds = None if begun is None else (now or time.time()) - begun / 1000
        choice = form.get("choice") or None
        if choice == UNSURE and kind == "answer":
            scales = {}
        return cls(choice, scales, form.get("correction", ""), seconds)

    @classmethod
    def of_rating(cls, rating: Rating | None, shown: Sequence[Answer]) -> Said:
        """Put what was said before back on its sides."""
        if rating is None:
            return cls()
        side_of = {answer.source: side for answer, side in zip(shown, SIDES, strict=False)}
        choice = side_of.get(rating.choice or "", rating.choice)
        scales = {side_of[source]: dict(scales) for source, scales in rating.scales.items() if source in side_of}
        return cls(choice, scales, rating.correction or "")

    def meant(self, shown: Sequence[Answer], item: Item) -> dict[str, Any]:
        """Arguments of `Reviews.rate`: sources in the place of sides."""
        source_of = {side: answer.source for answer, side in zip(shown, SIDES, strict=False)}
        allowed = {**source_of, TIE: TIE, UNSURE: UNSURE} if item.kind == "pair" else {UNSURE: UNSURE}
        scales: Scales = {source_of[side]: dict(said) for side, said in self.scales.items() if side in source_of}
        choice = None if self.choice is None else allowed.get(self.choice, "nothing on the page")
        return {"choice": choice, "scales": scales, "correction": self.correction, "seconds": self.seconds}
