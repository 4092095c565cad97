"""Errors in OpenAI's shape: what a client's library turns into an exception with a sentence."""

from __future__ import annotations

from typing import Any

import orjson


class Problem(Exception):
    """A request that is refused or cannot be answered.

    `code` is a short name, `param` the field at fault. `headers` are sent with it, `Retry-After` say.
    """

    def __init__(
        self, status: int, message: str, code: str, param: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers = headers or {}
        super().__init__(message)

    @property
    def kind(self) -> str:
        """OpenAI's `type`."""
        known = {
            401: "authentication_error",
            403: "permission_error",
            404: "not_found_error",
            429: "rate_limit_error",
        }
        return known.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")

    def body(self) -> bytes:
        """JSON."""
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return orjson.dumps({"error": error})


def refused(param: str, message: str, code: str = "invalid_value") -> Problem:
    """A field that makes no sense or is not offered."""
    return Problem(400, message, code, param)


async def send_problem(problem: Problem, send: Any, more: dict[str, str] | None = None) -> None:
    """Answer an ASGI request with it."""
    body = problem.body()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **problem.headers, **(more or {})}
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
