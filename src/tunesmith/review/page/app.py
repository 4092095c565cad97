"""The application: log in, choose a name, judge item after item. Works at any path, and without its script."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException as AnyHTTPException

from tunesmith.errors import StoreError
from tunesmith.keys.keyring import Keyring
from tunesmith.review.page import doors, rounds
from tunesmith.review.page.attempts import Attempts
from tunesmith.review.page.desk import Desk, NotLoggedIn, root_of
from tunesmith.review.page.look import HEADERS, STATIC, page, static
from tunesmith.review.reviews import Reviews
from tunesmith.store.database import Database


def build_review_app(
    database: Database, secret: bytes, keyring: Keyring | None = None, clock: Callable[[], float] = time.time
) -> FastAPI:
    """The ASGI application over the items of a database; keys are looked up at every request.

    `secret` signs the cookies: processes with the same one take each other's.
    """
    app = FastAPI(title="Tunesmith review", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.desk = Desk(Reviews(database), keyring or Keyring(database), Attempts(clock), clock, secret)
    app.include_router(doors.router)
    app.include_router(rounds.router)
    app.add_api_route("/static/{name}", _file)
    app.middleware("http")(_guard)
    app.add_exception_handler(NotLoggedIn, _ask_to_log_in)
    app.add_exception_handler(AnyHTTPException, _refused)
    app.add_exception_handler(StoreError, _database_gone)
    return app


def _file(name: str) -> Response:
    if name not in STATIC:
        raise HTTPException(404, "there is no such file")
    return Response(static(name), media_type=STATIC[name], headers={"Cache-Control": "max-age=60"})


async def _guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    # Browsers say where a form was sent from; login has no session yet that could carry a token.
    if request.method == "POST" and request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        answer: Response = page("problem.jinja", root_of(request), 403, why="This form was sent from another site.")
    else:
        answer = await call_next(request)
    answer.headers.update(HEADERS)
    return answer


async def _ask_to_log_in(request: Request, _: Exception) -> Response:
    path = request.url.path.removeprefix(root_of(request))
    to = f"?to={quote(path)}" if path not in ("", "/", "/logout") else ""
    return RedirectResponse(f"{root_of(request)}/login{to}", 303)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    return page("problem.jinja", root_of(request), error.status_code, why=f"{error.detail}.".capitalize())


async def _database_gone(request: Request, _: Exception) -> Response:
    why = "The database does not answer: this is not saved yet. Try again in a moment."
    return page("problem.jinja", root_of(request), 503, why=why)
