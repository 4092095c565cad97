"""The endpoint: OpenAI's paths, checked, routed and passed on; health and metrics."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from tunesmith.serve.ask import parse, within
from tunesmith.serve.catalogue import card
from tunesmith.serve.engine_app import MERGED, TOKEN_HEADER
from tunesmith.serve.feedback import keep, parse_feedback
from tunesmith.serve.metrics import Metrics
from tunesmith.serve.openapi import ANSWERS, describe
from tunesmith.serve.problem import Problem
from tunesmith.serve.state import State
from tunesmith.serve.traffic import FORCE_HEADER, SESSION_HEADER
from tunesmith.serve.turn import NO_LOG_HEADER, Row, copy_to_shadow, forward

LATE_SECONDS = 3.0
"""How long feedback waits for its request to be written down, before it is not known."""


def build_app(state: State) -> FastAPI:
    """The ASGI application of one gateway."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> Any:
        state.watch()
        yield
        await state.close()

    app = FastAPI(
        title="Tunesmith", description="Registered versions behind OpenAI's API.", lifespan=lifespan, docs_url=None,
        redoc_url=None, openapi_url="/openapi.json",
    )  # fmt: skip
    metrics = Metrics(state.traffic_log)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)

    async def ask(request: Request, path: str) -> Response:
        headers = request.headers
        caller = state.access.caller(headers.get("authorization"), "infer")
        raw = await read_body(request, state.spec.limits.body_mib)
        body = parse(path, raw)
        state.limiter.take_request(caller)
        routed = state.traffic.route(
            body.get("model"), body.get("user"), headers.get(SESSION_HEADER), headers.get(FORCE_HEADER), caller,
            state.catalogue,
        )  # fmt: skip
        within(body, state.spec.limits)
        request_id = secrets.token_hex(16)
        wanted = state.traffic_log is not None and state.traffic_log.wants(request_id, headers.get(NO_LOG_HEADER))
        row = Row(state, path, caller, body, routed, request_id, raw if wanted else None)
        for name, target in routed.shadows:
            copy_to_shadow(state, path, body, target, row.of_shadow(name, target, secrets.token_hex(16)))
        return forward(state, path, body, routed.target, row, metrics)

    @app.post("/v1/chat/completions", **describe("chat"))
    async def chat(request: Request) -> Any:
        """Answer a conversation."""
        return await ask(request, "/v1/chat/completions")

    @app.post("/v1/completions", **describe("completion"))
    async def completion(request: Request) -> Any:
        """Go on with a text."""
        return await ask(request, "/v1/completions")

    @app.post("/v1/embeddings", **describe("embedding"))
    async def embedding(request: Request) -> Any:
        """Embed texts, where the base model can."""
        return await ask(request, "/v1/embeddings")

    @app.post("/v1/feedback", **describe("feedback"))
    async def feedback(request: Request) -> Any:
        """Say how good an answer was: a thumb, a score, a label, a correction, metrics of one's own. May come later."""
        caller = state.access.caller(request.headers.get("authorization"), "feedback")
        raw = await read_body(request, state.spec.limits.body_mib)
        try:
            found, said = parse_feedback(orjson.loads(raw))
        except orjson.JSONDecodeError as error:
            raise Problem(400, f"the body is not JSON: {error.msg}", "not_json") from None
        deadline = time.monotonic() + LATE_SECONDS
        while not await asyncio.to_thread(keep, state.database, found, said, caller.tenant):
            if time.monotonic() > deadline:
                raise Problem(404, f"no answer of yours has the id {found}", "unknown_answer", "id")
            await asyncio.sleep(0.25)
        return JSONResponse({"id": found, "kept": sorted(said)})

    @app.get("/v1/models", responses=ANSWERS)
    async def models(request: Request) -> Any:
        """Bases, versions and aliases that may be asked, with where they come from."""
        state.access.caller(request.headers.get("authorization"), "infer")
        return JSONResponse({"object": "list", "data": state.catalogue.cards()})

    @app.get("/v1/models/{model:path}", responses=ANSWERS)
    async def model(request: Request, model: str) -> Any:
        """One of them."""
        state.access.caller(request.headers.get("authorization"), "infer")
        return JSONResponse(card(model, state.catalogue.find(model)))

    @app.get("/healthz", responses={503: ANSWERS[503]})
    async def healthz() -> Any:
        """Whether engines answer."""
        engines = {spec.name: await _ask(state, spec.route, "/health") is not None for spec in state.spec.engines}
        merged = {
            spec.name: (await _ask(state, spec.route, MERGED) or {}).get("merged")
            for spec in state.spec.engines
            if spec.fast is not None
        }
        well = all(engines.values()) and state.trouble is None
        found = {
            "status": "ok" if well else "degraded", "engines": engines, "registry": state.trouble or "ok",
            "unchecked": len(state.catalogue.unchecked), **({"merged": merged} if merged else {}),
        }  # fmt: skip
        return JSONResponse(found, 200 if any(engines.values()) else 503)

    @app.get("/metrics", responses={**ANSWERS, 200: {"content": {metrics.media_type: {}}}}, response_class=Response)
    async def show_metrics(request: Request) -> Any:
        """Counts and durations of this gateway, for Prometheus."""
        state.access.caller(request.headers.get("authorization"), "admin")
        return Response(metrics.text(), media_type=metrics.media_type)

    if find_spec("jinja2") is not None:
        from tunesmith.review.page.app import build_review_app
        from tunesmith.review.page.secret import signing_secret

        app.mount("/review", build_review_app(state.database, signing_secret(state.home.folder)))
    return app


async def read_body(request: Request, limit_mib: float) -> bytes:
    """A request's body. Raises Problem 413 as soon as it is larger than allowed."""
    limit, size, parts = int(limit_mib * 2**20), 0, []
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise Problem(413, f"the body is larger than {limit_mib:g} MiB", "body_too_large")
        parts.append(part)
    return b"".join(parts)


async def _ask(state: State, route: str, path: str) -> dict[str, Any] | None:
    """What an engine says of itself; None where it does not answer."""
    import aiohttp

    try:
        async with state.session.get(
            f"{state.spec.address}{route}{path}",
            headers={TOKEN_HEADER.decode(): state.token},
            timeout=aiohttp.ClientTimeout(total=5),
        ) as answer:
            if answer.status != 200:
                return None
            return orjson.loads(await answer.read() or b"{}")
    except orjson.JSONDecodeError:
        return {}
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return Response(error.body(), error.status, headers=error.headers, media_type="application/json")


async def _http(_: Request, error: Exception) -> Response:
    """What Starlette refuses by itself: unknown paths, wrong methods."""
    assert isinstance(error, HTTPException)
    problem = Problem(error.status_code, str(error.detail), "unknown_path" if error.status_code == 404 else "refused")
    headers = dict(error.headers or {})
    return Response(problem.body(), problem.status, headers=headers, media_type="application/json")
