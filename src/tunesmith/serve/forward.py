"""An engine's answer, passed on byte by byte as it comes, and what is noted of it on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from tunesmith.serve.engine_app import ADAPTER_HEADER, TOKEN_HEADER
from tunesmith.serve.problem import Problem, send_problem

if TYPE_CHECKING:
    import aiohttp

ATTEMPTS, PAUSE_SECONDS = 4, 0.25
"""How often an engine is asked whose connection fails before it has answered anything, and the first pause between."""

EVENT = b"data: "

MAX_KEPT = 4 * 2**20
"""Bytes of a streamed answer that are kept to be looked at: of a longer one nothing is. Some 16,000 tokens."""


@dataclass
class Outcome:
    """What came of a request: HTTP status, seconds to the first byte of content and to the last, pieces that came
    (tokens), and whether the client left before the end. `broken` says that the engine was lost. `kept` is
    the answer itself, where it is to be looked at."""

    status: int = 0
    first_byte_seconds: float | None = None
    seconds: float = 0.0
    pieces: int = 0
    left: bool = False
    broken: bool = False
    kept: list[bytes] | None = None


@dataclass
class Forward(Response):
    """A response that asks the engine at `url` and hands on what it says, with `named` as headers of its own.

    `done` is told the outcome, always.
    """

    background = None
    status_code = 200

    session: aiohttp.ClientSession
    url: str
    body: bytes
    token: str
    adapter: str | None
    request_id: str
    named: dict[str, str]
    timeout_seconds: float
    stream: bool
    done: Callable[[Outcome], None]
    keep: bool = False

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer. A client that leaves ends the engine's work."""
        outcome, began = Outcome(kept=[] if self.keep else None), time.perf_counter()
        work = asyncio.ensure_future(self._pass_on(send, outcome, began))
        watch = asyncio.ensure_future(_until_left(receive))
        try:
            async with asyncio.timeout(self.timeout_seconds):
                await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
                outcome.left = not work.done()
        except TimeoutError:
            await self._too_long(work, send, outcome)
        finally:
            for task in (work, watch):
                if not task.done():
                    task.cancel()
                    with suppress(asyncio.CancelledError, Exception):
                        await task
            outcome.seconds = time.perf_counter() - began
            self.done(outcome)
        if not work.cancelled() and (error := work.exception()) is not None:
            raise error

    async def _pass_on(self, send: Any, outcome: Outcome, began: float) -> None:
        import aiohttp

        try:
            answer = await self._ask()
        except Problem as problem:
            outcome.status = problem.status
            await send_problem(problem, send, self.named)
            return
        async with answer:
            kept, outcome.status = 0, answer.status
            start = {"type": "http.response.start", "status": answer.status, "headers": self._headers(answer)}
            try:
                async for chunk in answer.content.iter_any():
                    if outcome.first_byte_seconds is None:
                        # Not before: should this gateway die until then, HAProxy asks another one.
                        await send(start)
                        outcome.first_byte_seconds = time.perf_counter() - began
                    outcome.pieces += chunk.count(EVENT)
                    if outcome.kept is not None:
                        outcome.kept.append(chunk)
                        kept += len(chunk)
                        if kept > MAX_KEPT and self.stream:
                            outcome.kept = None
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except (aiohttp.ClientError, ConnectionError):
                outcome.broken = True
                if not self.stream or outcome.first_byte_seconds is None:
                    # Nothing may look like a whole answer: the connection is cut.
                    raise ConnectionAbortedError("the engine was lost while it answered") from None
                lost = Problem(503, "the engine was lost while it answered; ask again", "engine_lost")
                await send({"type": "http.response.body", "body": EVENT + lost.body() + b"\n\n", "more_body": True})
            if outcome.first_byte_seconds is None:
                await send(start)
            await send({"type": "http.response.body", "body": b""})

    async def _ask(self) -> aiohttp.ClientResponse:
        """The engine's answer, its headers read. Raises Problem 503 when no engine can be reached."""
        import aiohttp

        headers = {
            TOKEN_HEADER.decode(): self.token,
            "x-request-id": self.request_id,
            "content-type": "application/json",
            **({ADAPTER_HEADER.decode(): self.adapter} if self.adapter else {}),
        }
        for attempt in range(ATTEMPTS):
            with suppress(aiohttp.ClientConnectionError, ConnectionError):
                answer = await self.session.post(self.url, data=self.body, headers=headers)
                # Serve's proxy answers in plain text when it has no engine to send to.
                if answer.status < 500 or answer.content_type == "application/json":
                    return answer
                answer.release()
            await asyncio.sleep(PAUSE_SECONDS * 2**attempt)
        raise Problem(503, "the engine does not answer", "engine_down", headers={"Retry-After": "5"})

    async def _too_long(self, work: asyncio.Future[None], send: Any, outcome: Outcome) -> None:
        started = outcome.first_byte_seconds is not None
        work.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await work
        problem = Problem(504, f"the answer took longer than {self.timeout_seconds:g} s", "timeout")
        outcome.status, outcome.broken = 504, True
        if not started:
            await send_problem(problem, send, self.named)
        elif self.stream:
            await send({"type": "http.response.body", "body": EVENT + problem.body() + b"\n\n"})

    def _headers(self, answer: aiohttp.ClientResponse) -> list[tuple[bytes, bytes]]:
        kept = {"content-type": answer.headers.get("content-type", "application/json"), **self.named}
        if (length := answer.headers.get("content-length")) is not None:
            kept["content-length"] = length
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in kept.items()]


async def _until_left(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
