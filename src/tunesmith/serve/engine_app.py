"""What stands before vLLM's own OpenAI application in an engine: the secret, the paths it answers, the adapter."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

import orjson

from tunesmith.serve.adapters import Adapters
from tunesmith.serve.gate import Gate
from tunesmith.serve.problem import Problem, send_problem

PATHS = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models", "/health", "/metrics"})
"""Of vLLM's paths only these: others load files or change the engine."""

EMBEDDINGS = "/v1/embeddings"
TEXT = ("/v1/chat/completions", "/v1/completions")
"""vLLM has either these paths or that one, by the kind of the base."""

MERGED = "/merged"
"""A path of our own: which version is in the weights."""

TOKEN_HEADER, ADAPTER_HEADER = b"x-tunesmith-engine", b"x-tunesmith-adapter"

Scope = dict[str, Any]


class EngineApp:
    """ASGI application around vLLM's. `route` is the prefix that Serve leaves in the path, or takes off it; `base` who
    is asked where no adapter is named; `merged` describes what is in the weights."""

    def __init__(
        self, app: Any, adapters: Adapters, gate: Gate, token: str, route: str, base: str,
        merged: Callable[[], dict[str, Any]],
    ) -> None:  # fmt: skip
        self._app, self._adapters, self._gate = app, adapters, gate
        self._token, self._route, self._base, self._merged = token.encode(), route, base, merged
        offered = {getattr(one, "path", None) for one in getattr(app, "routes", ())}
        self._embeds, self._writes = EMBEDDINGS in offered, TEXT[0] in offered

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        path = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix(self._route)
        try:
            if not hmac.compare_digest(headers.get(TOKEN_HEADER, b""), self._token):
                raise Problem(401, "engines are asked through the gateway", "not_the_gateway")
            if path == MERGED:
                await _answer(self._merged(), send)
                return
            if path not in PATHS:
                raise Problem(404, f"an engine has no {path[:80]!a}", "unknown_path")
            if path == EMBEDDINGS and not self._embeds:
                raise Problem(400, f"{self._base} is no model that gives embeddings", "no_embeddings", "model")
            if path in TEXT and self._embeds and not self._writes:
                raise Problem(400, f"{self._base} gives embeddings, and no text", "no_text", "model")
            if not path.startswith("/v1/") or path == "/v1/models":
                await self._app(scope, receive, send)
                return
            name = headers.get(ADAPTER_HEADER, b"").decode("latin-1") or self._base
            async with self._gate.request(), self._adapters.using(name):
                await self._app(scope, receive, send)
        except Problem as problem:
            await send_problem(problem, send)


async def _answer(value: dict[str, Any], send: Any) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": orjson.dumps(value)})
