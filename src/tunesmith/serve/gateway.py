"""The gateway as a Serve deployment."""

from __future__ import annotations

import os
from typing import Any

from ray import serve

from tunesmith.serve.engine import PASSED_ON
from tunesmith.serve.gateway_app import build_app
from tunesmith.serve.spec import GatewaySpec
from tunesmith.serve.state import State

CPUS = 0.1
MAX_REQUESTS = 10_000
"""Requests in flight in one gateway; they wait on engines, not on it."""


class Gateway:
    """One copy."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._state = State(GatewaySpec.model_validate(spec))

    async def __serve_build_asgi_app__(self) -> Any:
        """The application, made where the replica runs."""
        return build_app(self._state)

    def check_health(self) -> None:
        """Serve asks; a gateway whose registry is gone still routes by what it knew."""


def gateway_application(spec: GatewaySpec) -> Any:
    """The Serve application of the gateway, to be run under `/`."""
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    deployment = serve.deployment(
        serve.ingress()(Gateway),
        name="gateway",
        num_replicas=spec.copies,
        max_ongoing_requests=MAX_REQUESTS,
        graceful_shutdown_timeout_s=max(30.0, spec.limits.timeout_seconds),
        ray_actor_options={"num_cpus": CPUS, "runtime_env": {"env_vars": environment}},
    )
    return deployment.bind(spec=spec.model_dump(mode="json"))
