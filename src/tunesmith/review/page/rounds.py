"""Judging: names, item after item, and what was said of each."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from tunesmith.errors import DataError
from tunesmith.registry.check import NAME
from tunesmith.review.item import Item
from tunesmith.review.page.desk import Desk, Filled, Rater, Sender, TheDesk, root_of
from tunesmith.review.page.form import SIDES, Said
from tunesmith.review.page.look import page
from tunesmith.review.page.session import Session
from tunesmith.review.reviews import Reviews

router = APIRouter()


@router.get("/")
def names(request: Request, session: Rater, desk: TheDesk) -> Response:
    """What there is to judge."""
    found = [(name, desk.reviews.next(name, session.rater)[1]) for name in desk.reviews.names()]
    return desk.keep(page("names.jinja", root_of(request), session=session, names=found), request, session)


@router.get("/rate/{name}")
def next_item(request: Request, name: str, session: Rater, desk: TheDesk) -> Response:
    """Go to the next item, which has an address of its own: a reload shows the same one."""
    _check(name)
    item, progress = desk.reviews.next(name, session.rater)
    if item is not None:
        return RedirectResponse(f"{root_of(request)}/rate/{quote(name)}/{item}", 303)
    before = desk.reviews.before(name, session.rater)
    return page("done.jinja", root_of(request), session=session, name=name, progress=progress, before=before)


@router.get("/rate/{name}/{item_id}")
def show(request: Request, name: str, item_id: str, session: Rater, desk: TheDesk) -> Response:
    """An item, as it was rated if it was."""
    item = _find(desk.reviews, name, item_id)
    said = Said.of_rating(desk.reviews.rating(item.id, session.rater), item.shown_to(session.rater))
    return _item_page(request, desk, session, item, said)


@router.post("/rate/{name}/{item_id}")
def rate(request: Request, name: str, item_id: str, form: Filled, session: Sender, desk: TheDesk) -> Response:
    """Write a rating down, and go on."""
    item = _find(desk.reviews, name, item_id)
    said, shown = Said.of_form(form, item.kind, desk.clock()), item.shown_to(session.rater)
    given = said.scales.get(SIDES[0], {})
    missing = [scale.question or scale.name for scale in desk.reviews.rubric(name).scales if scale.name not in given]
    if item.kind == "answer" and said.choice is None and missing and not said.correction.strip():
        return _item_page(request, desk, session, item, said, f"Still without a number: {' '.join(missing)}")
    try:
        desk.reviews.rate(item.id, session.rater, **said.meant(shown, item))
    except DataError as error:
        return _item_page(request, desk, session, item, said, f"{error.what[:1].upper()}{error.what[1:]}.")
    return RedirectResponse(f"{root_of(request)}/rate/{quote(name)}", 303)


def _item_page(request: Request, desk: Desk, session: Session, item: Item, said: Said, why: str = "") -> Response:
    reviews, rater = desk.reviews, session.rater
    rated = reviews.rating(item.id, rater) is not None
    answer = page(
        "item.jinja", root_of(request), 422 if why else 200, session=session, name=item.name, item=item,
        rubric=reviews.rubric(item.name), sides=list(zip(SIDES, item.shown_to(rater), strict=False)), said=said,
        progress=reviews.next(item.name, rater)[1], before=reviews.before(item.name, rater, item.id if rated else None),
        rated=rated, why=why, shown_at=int(desk.clock() * 1000),
    )  # fmt: skip
    return desk.keep(answer, request, session)


def _check(*parts: str) -> None:
    """Refuse what no name and no id is made of: some of it no database can even be asked for."""
    if not all(NAME.fullmatch(one) for one in parts):
        raise HTTPException(404, "there is no such item")


def _find(reviews: Reviews, name: str, item_id: str) -> Item:
    _check(name, item_id)
    try:
        item = reviews.item(item_id)
    except DataError:
        item = None
    if item is None or item.name != name:
        raise HTTPException(404, "there is no such item")
    return item
