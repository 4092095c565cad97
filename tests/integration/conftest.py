"""Real parts that integration tests talk to."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import missing
from tests.unit.train import tiny


@pytest.fixture(scope="session")
def _s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One S3 server for the whole session: moto speaks the protocol over HTTP from a process of its own."""
    if importlib.util.find_spec("moto") is None:
        missing('the S3 server is not installed (pip install "tunesmith[dev]")')
    log = tmp_path_factory.mktemp("s3") / "server.log"
    port = _free_port()
    endpoint = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=output, stderr=output
        )
    try:
        _wait_until_it_answers(server, endpoint, log)
        yield endpoint
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture
def s3_server(_s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Endpoint URL of an empty S3 server, with `AWS_*` set so that clients in this process and its children use it."""
    return _use(_s3_endpoint, monkeypatch, tmp_path)


def _use(endpoint: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> str:
    _send("POST", f"{endpoint}/moto-api/reset")
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    settings = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(folder / "no-aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-aws-credentials"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return endpoint


@pytest.fixture
def s3_bucket(s3_server: str) -> str:
    """Name of an empty bucket on `s3_server`."""
    return _bucket(s3_server)


@pytest.fixture(scope="module")
def module_s3_bucket(_s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same for all tests of a module, none of which may ask for an empty one."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield _bucket(_use(_s3_endpoint, monkeypatch, tmp_path_factory.mktemp("aws")))


def _bucket(endpoint: str) -> str:
    name = "tunesmith-test"
    _send("PUT", f"{endpoint}/{name}")
    return name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _send(method: str, url: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, method=method), timeout=10) as answer:
        answer.read()


def _wait_until_it_answers(server: subprocess.Popen[bytes], endpoint: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the S3 server ended with {server.returncode}:\n{log.read_text(errors='replace')}")
        try:
            _send("GET", f"{endpoint}/moto-api/")
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the S3 server did not answer within 60 s:\n{log.read_text(errors='replace')}")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """13 rows in batches of 4 leave a last batch of one: a worker without rows. 3 validation rows."""
    return tiny.write_dataset(
        tmp_path_factory.mktemp("data") / "tiny",
        train=tiny.make_rows(1, 13, weighted=True),
        validation=tiny.make_rows(2, 3, weighted=True),
    )
