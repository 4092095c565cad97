"""Ask a metadata service over HTTP: no proxy, no redirect, a time-out, little memory."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from tunesmith.cluster.spot.notice import Unreachable

MAX_BYTES = 1 << 20
"""An answer is a few words; what sends more is something else."""


class _Stay(urllib.request.HTTPRedirectHandler):
    """A metadata service does not redirect; something in between may."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


# Credentials are never sent, and the address is the machine's own: a proxy in the environment must not see it.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay())


def ask(
    url: str, headers: Mapping[str, str], seconds: float, method: str = "GET", absent: tuple[int, ...] = (404,)
) -> str | None:
    """The answer's text, None where its status is one of `absent`. Raises Unreachable for everything else."""
    request = urllib.request.Request(url, headers=dict(headers), method=method)
    try:
        with _OPENER.open(request, timeout=seconds) as answer:
            body: bytes = answer.read(MAX_BYTES)
    except urllib.error.HTTPError as error:
        if error.code in absent:
            return None
        raise Unreachable(f"{url} answers {error.code}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise Unreachable(f"{url} does not answer: {reason or type(error).__name__}") from None
    return body.decode("utf-8", errors="replace").strip()
