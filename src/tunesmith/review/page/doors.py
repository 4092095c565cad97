"""Coming and going: a key for a session, and its end."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from tunesmith.review.page.desk import Filled, Sender, TheDesk, root_of
from tunesmith.review.page.look import page
from tunesmith.review.page.session import COOKIE, log_in

router = APIRouter()


@router.get("/login")
def show_login(request: Request, to: str = "") -> Response:
    """Ask for a key."""
    return page("login.jinja", root_of(request), to=local(to), why="")


@router.post("/login")
def login(request: Request, form: Filled, desk: TheDesk) -> Response:
    """Take a key, and go where the rater wanted to."""
    root, to = root_of(request), local(form.get("to", ""))
    address = request.client.host if request.client else ""
    session = log_in(form.get("key", "").strip(), desk.keys.every(), desk.secret, desk.clock())
    if session is None:
        # Only what failed is bounded: who fails all day must not keep out those who have a key.
        if not desk.attempts.allowed(address):
            answer = page("login.jinja", root, 429, to=to, why="Too many attempts: wait a minute.")
            answer.headers["Retry-After"] = "60"
            return answer
        desk.attempts.failed(address)
        why = "This is no API key with the scope 'review', or it was revoked."
        return page("login.jinja", root, 401, to=to, why=why)
    return desk.keep(RedirectResponse(root + (to or "/"), 303), request, session)


@router.post("/logout")
def logout(request: Request, session: Sender) -> Response:
    """Forget the session."""
    went = RedirectResponse(f"{root_of(request)}/login", 303)
    went.delete_cookie(COOKIE, path=root_of(request) or "/")
    return went


def local(to: str) -> str:
    """A path of this application, to go to after the login; nothing else."""
    parts = urlsplit(to)
    plain = to.startswith("/") and not to.startswith("//") and "\\" not in to and not parts.scheme and not parts.netloc
    return to if plain and to.isascii() and to.isprintable() and len(to) < 500 else ""
