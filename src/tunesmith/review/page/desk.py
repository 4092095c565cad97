"""What the pages of one application share, and who stands before them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.responses import Response

from tunesmith.keys.keyring import Keyring
from tunesmith.review.page.attempts import Attempts
from tunesmith.review.page.form import Form, read_form
from tunesmith.review.page.session import COOKIE, Session, read_cookie, same
from tunesmith.review.reviews import Reviews


class NotLoggedIn(Exception):
    """The page needs a rater."""


@dataclass(frozen=True)
class Desk:
    """Where items and keys are, how often somebody failed to log in, what time it is, in seconds since 1970, and what
    cookies are signed with.
    """

    reviews: Reviews
    keys: Keyring
    attempts: Attempts
    clock: Callable[[], float]
    secret: bytes = field(repr=False)

    def keep(self, answer: Response, request: Request, session: Session) -> Response:
        """Go on with the session: it ends some hours after the last page, and some days after the login."""
        now = self.clock()
        answer.set_cookie(
            COOKIE, session.cookie(now), max_age=max(0, session.ends(now) - int(now)), path=root_of(request) or "/",
            httponly=True, samesite="lax", secure=request.url.scheme == "https",
        )  # fmt: skip
        return answer


def desk_of(request: Request) -> Desk:
    """The desk of the application that is asked."""
    found: Desk = request.app.state.desk
    return found


def root_of(request: Request) -> str:
    """The path at which the application is mounted, without a slash at its end."""
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


def who(request: Request) -> Session:
    """The rater by the cookie. Raises NotLoggedIn."""
    desk = desk_of(request)
    found = read_cookie(request.cookies.get(COOKIE), desk.keys.every(), desk.secret, desk.clock)
    if found is None:
        raise NotLoggedIn
    return found


def who_sends(request: Request, form: Annotated[Form, Depends(read_form)]) -> Session:
    """The same for a form, which must come from a page of this session. Raises HTTPException 403."""
    session = who(request)
    if not same(form.get("token", ""), session.token):
        raise HTTPException(403, "this form is too old: load the page again")
    return session


Filled = Annotated[Form, Depends(read_form)]
TheDesk = Annotated[Desk, Depends(desk_of)]
Rater = Annotated[Session, Depends(who)]
Sender = Annotated[Session, Depends(who_sends)]
