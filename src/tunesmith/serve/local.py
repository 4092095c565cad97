"""The application on this machine, or on the cluster of RAY_ADDRESS, for as long as the command runs."""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tunesmith.serve.plan import Plan
from tunesmith.serve.spec import TOKEN, ServeError
from tunesmith.store.home import Home

REPEAT = "conn-failure empty-response\n    option http-buffer-request"
"""When HAProxy asks another gateway or engine: where the first died before its answer began. Ray writes the text into
HAProxy's configuration as it is, and so the second line too, without which a request may be sent on before it has come
whole, and then cannot be sent again. Nothing that is offered does harm when it is asked twice."""

ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",
    # HAProxy, which comes with ray[serve], in the place of Serve's own proxy: 1 ms a request instead of 9.
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_HAPROXY_RETRY_ON": REPEAT,
    "RAY_worker_niceness": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}
"""Of Ray's processes that are started here. A cluster's own nodes need those of Serve."""

SECONDS_A_CHECK = 60
SPARE_CPUS = 2
"""Of Ray's count, which is of places and not of cores: for the gateway and Serve's own."""


@contextmanager
def running(plan: Plan, home: Home, say: Callable[[str], None]) -> Iterator[str]:
    """Start engine and gateway; gives the endpoint's URL, and ends them when the block ends.

    Raises ServeError when the port is taken, or an engine does not come up.
    """
    _check_port(plan.host, plan.port)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault(TOKEN, secrets.token_urlsafe(32))
    os.environ["TUNESMITH_HOME"] = str(home.folder)
    os.environ["TUNESMITH_DATABASE_URL"], os.environ["TUNESMITH_ARTIFACTS"] = home.database_url, home.artifacts
    import ray
    from ray import serve

    say("starting Ray")
    _join(ray, plan)
    try:
        serve.start(http_options={"host": plan.host, "port": plan.port})
        from tunesmith.serve.engine import engine_application
        from tunesmith.serve.gateway import gateway_application

        for engine in plan.engines:
            say(f"starting the engine: {engine.model}, about a minute")
            _run(serve, engine_application(engine), engine.name, engine.route)
        say("starting the gateway")
        _run(serve, gateway_application(plan.gateway), "gateway", "/")
        _wait_for_checks(plan.gateway.address, say)
        yield plan.gateway.address
    finally:
        serve.shutdown()
        ray.shutdown()


def _join(ray: Any, plan: Plan) -> None:
    if ray.is_initialized():
        return
    logging.getLogger("ray").setLevel(logging.WARNING)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    address = os.environ.get("RAY_ADDRESS")
    settings = plan.engines[0].settings
    most = len(plan.engines) * (settings.autoscale.max_replicas if settings.autoscale else settings.replicas)
    places = {"num_cpus": most + SPARE_CPUS + plan.gateway.copies, "include_dashboard": False}
    options: dict[str, Any] = {"address": address} if address else places
    try:
        ray.init(log_to_driver=False, logging_level=logging.WARNING, **options)
    except (RuntimeError, ConnectionError, TimeoutError, ValueError) as error:
        raise ServeError(
            f"Ray cannot be {'joined' if address else 'started'}: {str(error).strip().splitlines()[-1][:300]}",
            where=f"RAY_ADDRESS={address}" if address else None,
            fix="see that the cluster is up and of the same Ray version" if address else "give the command again",
        ) from error


def _run(serve: Any, application: Any, name: str, route: str) -> None:
    try:
        serve.run(application, name=name, route_prefix=route)
    except RuntimeError as error:
        status = serve.status().applications.get(name)
        why = [one.message for one in status.deployments.values() if one.message] if status else []
        raise ServeError(
            f"the {name} did not start: {_last_line(why[0]) if why else _last_line(str(error))}",
            fix="the whole of it is in Ray's logs: /tmp/ray/session_latest/logs/serve",
        ) from error


def _wait_for_checks(address: str, say: Callable[[str], None]) -> None:
    """Until every version that can be has been compared with the trainer's model, or a minute for each has passed."""
    deadline: float | None = None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        with suppress(OSError, ValueError), opener.open(f"{address}/healthz", timeout=10) as answer:
            waiting = json.load(answer)["unchecked"]
            if not waiting:
                return
            deadline = deadline or time.monotonic() + SECONDS_A_CHECK * waiting
            say(f"comparing versions with the trainer's model ({waiting} to go)")
        if deadline is not None and time.monotonic() > deadline:
            return
        time.sleep(0.5)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:400] if lines else "no reason given"


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServeError(
                f"port {port} of {host} cannot be used: {error.strerror}",
                where="serve.port",
                fix="choose another one with --port",
            ) from error
