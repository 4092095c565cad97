"""What stands before vLLM's own OpenAI application in an engine: the secret, the paths it answers, the adapter."""

from __future__ import annotations

import hmac
from typing import Any

from tunesmith.serve.adapters import Adapters
from tunesmith.serve.problem import Problem, send_problem

PATHS = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models", "/health", "/metrics"})
"""Of vLLM's paths only these: others load files or change the engine."""

TOKEN_HEADER, ADAPTER_HEADER = b"x-tunesmith-engine", b"x-tunesmith-adapter"

Scope = dict[str, Any]


class EngineApp:
    """ASGI application around vLLM's. `route` is the prefix that Serve leaves in the path, or takes off it."""

    def __init__(self, app: Any, adapters: Adapters, token: str, route: str) -> None:
        self._app, self._adapters, self._token, self._route = app, adapters, token.encode(), route

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        path = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix(self._route)
        try:
            if not hmac.compare_digest(headers.get(TOKEN_HEADER, b""), self._token):
                raise Problem(401, "engines are asked through the gateway", "not_the_gateway")
            if path not in PATHS:
                raise Problem(404, f"an engine has no {path[:80]!a}", "unknown_path")
            adapter = headers.get(ADAPTER_HEADER, b"").decode("latin-1")
            if adapter:
                async with self._adapters.using(adapter):
                    await self._app(scope, receive, send)
            else:
                await self._app(scope, receive, send)
        except Problem as problem:
            await send_problem(problem, send)
