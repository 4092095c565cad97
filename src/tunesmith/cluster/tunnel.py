"""The way to a cluster whose dashboard nobody reaches from outside: Ray's launcher or kubectl hold a tunnel open."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tunesmith.cluster.targets import Target, TargetError

OPEN_SECONDS = 60.0
"""Within which a tunnel must be there."""

PAUSE_SECONDS, MOST_SECONDS = 1.0, 30.0
"""Before a tunnel that broke is opened again; twice as long each time."""

DASHBOARD = 8265


@contextmanager
def reached(target: Target) -> Iterator[Target]:
    """The target with an address that can be spoken to, for the time of the block.

    A tunnel that breaks is opened again. Raises TargetError when the program for it is missing, or there is no tunnel
    within a minute.
    """
    port = _free_port()
    command = command_of(target, port)
    if command is None:
        yield target
        return
    over = threading.Event()
    with tempfile.TemporaryFile() as said, _ending_in_order():
        keeper = threading.Thread(target=_hold, args=(command, said, over), daemon=True)
        keeper.start()
        try:
            _wait(port, said, command)
            yield target.model_copy(update={"address": f"http://127.0.0.1:{port}"})
        finally:
            over.set()
            keeper.join(10)


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Let a signal that ends the program take the tunnel with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def command_of(target: Target, port: int) -> list[str] | None:
    """What holds the tunnel from this port open; None for a target with an address. Raises TargetError."""
    if target.kubernetes is not None:
        pod = target.kubernetes
        context = ["--context", pod.context] if pod.context else []
        where = ["--namespace", pod.namespace, "port-forward", "--address", "127.0.0.1"]
        return [_program("kubectl"), *context, *where, f"service/{pod.service}", f"{port}:{DASHBOARD}"]
    if target.launcher is not None:
        file = Path(target.launcher).expanduser()
        if not file.is_file():
            raise TargetError("there is no such launcher file", where=str(file), fix="see cluster/ and docs/cloud.md")
        return [_program("ray"), "dashboard", str(file), "--port", str(port), "--remote-port", str(DASHBOARD)]
    return None


def _program(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        install = 'pip install "tunesmith[train]"' if name == "ray" else "install it (kubernetes.io/docs/tasks/tools)"
        raise TargetError(f"the way to this cluster is opened by {name}, which is not here", fix=install)
    return found


def _hold(command: list[str], said: IO[bytes], over: threading.Event) -> None:
    pause = PAUSE_SECONDS
    while not over.is_set():
        began = time.monotonic()
        # With what it has started, as Ray's launcher an ssh.
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
        ) as process:
            while process.poll() is None and not over.wait(0.2):
                pass
            # Its group lives on while one of what it has started does, though it has ended itself.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        pause = PAUSE_SECONDS if time.monotonic() - began > MOST_SECONDS else min(2 * pause, MOST_SECONDS)
        over.wait(pause)


def _wait(port: int, said: IO[bytes], command: list[str]) -> None:
    deadline = time.monotonic() + OPEN_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    said.seek(0)
    lines = [line.strip() for line in said.read().decode(errors="replace").splitlines() if line.strip()]
    raise TargetError(
        f"no tunnel to the cluster: {lines[-1][:300] if lines else 'nothing answers'}",
        where=" ".join(command),
        fix="give that command by hand: it must stay, and its port must answer",
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
