"""How pages look: templates that escape everything, and headers that let nothing else run."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from fastapi.responses import HTMLResponse

MAX_SHOWN = 50_000
"""Characters of a text that are shown."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
STATIC = {"review.css": "text/css; charset=utf-8", "review.js": "text/javascript; charset=utf-8"}


def page(template: str, root: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Render a page. `root` is the path the application is mounted at."""
    html = _environment().get_template(template).render(root=root, **values)
    return HTMLResponse(html.encode("utf-8", "replace").decode(), status, headers={"Cache-Control": "no-store"})


@cache
def static(name: str) -> bytes:
    """A file that goes with the pages."""
    return files("tunesmith.review.page").joinpath(name).read_bytes()


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tunesmith.review.page", ""), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["shown"] = lambda text: text[:MAX_SHOWN]
    environment.filters["hidden"] = lambda text: max(0, len(text) - MAX_SHOWN)
    return environment
