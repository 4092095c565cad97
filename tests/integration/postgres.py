"""A real PostgreSQL for tests: made in a temporary folder, started on a free loopback port, stopped at the end."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.hosts import Hosts, wait_until
from tests.services import missing

USER = "tunesmith"
PASSWORD = "s3cret/p@ss"


@dataclass(frozen=True)
class Server:
    """A running server. `url(database)` is what a user would write, with the password escaped."""

    port: int

    def url(self, database: str) -> str:
        return f"postgresql://{USER}:s3cret%2Fp%40ss@127.0.0.1:{self.port}/{database}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """One server for the session; skipped, or failed where services are required, when it is not installed."""
    programs = _programs()
    # Not under pytest's folder: that one is closed to the other user PostgreSQL needs when the tests run as root.
    folder = Path(tempfile.mkdtemp(prefix="tunesmith-postgres-"))
    try:
        yield from _serve(programs, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: Server) -> str:
    """URL of an empty database of its own."""
    psycopg = pytest.importorskip("psycopg")
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgres_server.url(name)


def _serve(programs: Path, folder: Path) -> Iterator[Server]:
    as_user, log = _unprivileged(), folder / "log"
    data = _make(programs, folder, as_user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off"}
    settings = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, *settings], stdout=output, stderr=output, cwd=folder, **as_user
        )
    try:
        _wait(server, port, log)
        yield Server(port)
    finally:
        # SIGINT is PostgreSQL's fast stop: it ends open connections instead of waiting for them.
        server.send_signal(signal.SIGINT)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _make(programs: Path, folder: Path, as_user: dict[str, Any]) -> Path:
    """The data folder of a new server, in a folder that then belongs to the user it runs as."""
    data, password = folder / "data", folder / "password"
    password.write_text(PASSWORD)
    if as_user:
        for path in (folder, password):
            os.chown(path, as_user["user"], as_user["group"])
    initdb = [programs / "initdb", "-D", data, "-U", USER, "--pwfile", password, "--auth=scram-sha-256", "-E", "UTF8"]
    made = subprocess.run([*initdb, "--no-sync", "--locale=C"], capture_output=True, text=True, cwd=folder, **as_user)
    if made.returncode != 0:
        raise RuntimeError(f"initdb failed:\n{made.stdout}\n{made.stderr}")
    return data


def on_host(hosts: Hosts, number: int, folder: Path) -> Server:
    """Start one on a host in namespaces of its own, on its loopback; it ends with the host."""
    programs, as_user = _programs(), _unprivileged()
    data = _make(programs, folder, as_user)
    settings = ["listen_addresses=127.0.0.1", "port=5432", f"unix_socket_directories={folder}", "fsync=off"]
    command = [str(programs / "postgres"), "-D", str(data), *(part for one in settings for part in ("-c", one))]
    as_other = ["setpriv", f"--reuid={as_user['user']}", f"--regid={as_user['group']}", "--clear-groups", "--"]
    log = folder / "log"
    with log.open("wb") as output:
        hosts.popen(number, [*(as_other if as_user else []), *command], folder, stdout=output, stderr=output)
    wait_until(lambda: b"ready to accept connections" in log.read_bytes(), 60, "PostgreSQL")
    return Server(5432)


def _programs() -> Path:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name.split(".")[0]))
    if folders and (folders[-1] / "initdb").exists():
        return folders[-1]
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    return missing("PostgreSQL is not installed (apt-get install postgresql)")


def _unprivileged() -> dict[str, Any]:
    """The user to run as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    return missing("there is no unprivileged user to run PostgreSQL as (adduser --system postgres)")


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0 and b"ready to accept connections" in log.read_bytes():
                return
        time.sleep(0.1)
    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text(errors='replace')}")
