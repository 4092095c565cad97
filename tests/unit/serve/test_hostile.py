"""What strangers send: never a traceback, never a 500, never an answer for nobody."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.unit.serve.test_gateway import CHAT, HELLO, Engine, State, talk
from tunesmith.keys.keyring import Keyring
from tunesmith.registry.version import Version
from tunesmith.store.database import Database
from tunesmith.store.home import find_home

BODIES: list[Any] = [
    b"", b"{", b"null", b"[]", b'"x"', b"\x00" * 100, b"\xff\xfe\x00", b"[" * 100_000,
    b'{"model": "tiny", "messages": ',
    orjson.dumps({"model": "tiny"}), orjson.dumps({"model": None, "messages": HELLO["messages"]}),
    orjson.dumps({"model": "x" * 100_000, "messages": HELLO["messages"]}),
    orjson.dumps({"model": "../../../etc/passwd", "messages": HELLO["messages"]}),
    orjson.dumps({"model": "tiny@999999999999999999999", "messages": HELLO["messages"]}),
    orjson.dumps({"model": "tiny\r\nx-evil: 1", "messages": HELLO["messages"]}),
    orjson.dumps({**HELLO, "chat_template": "{{ ''.__class__.__mro__ }}"}),
    orjson.dumps({**HELLO, "prompt_embeds": "gASVAAAA"}),
    orjson.dumps({**HELLO, "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "http://169.254.169.254/"}]}]}),
    orjson.dumps({**HELLO, "messages": [{"role": "user", "content": {"a": 1}}]}),
    orjson.dumps({**HELLO, "messages": [None]}), orjson.dumps({**HELLO, "messages": "hi"}),
    orjson.dumps({**HELLO, "user": {"$ne": ""}}), orjson.dumps({**HELLO, "user": "x" * 10_000}),
    orjson.dumps({**HELLO, "n": 10**9}), b'{"model": "tiny", "messages": [{"role": "user", "content": "\\ud800"}]}',
    b'{"model": 1e999}',
]  # fmt: skip
HEADERS: list[dict[str, str]] = [
    {"authorization": "Bearer " + "x" * 5000}, {"authorization": "Bearer sk-ts-aaaaaaaa-" + "a" * 43},
    {"authorization": "Basic Og=="}, {"x-tunesmith-engine": "guess"}, {"x-tunesmith-adapter": "tiny@1"},
    {"x-tunesmith-variant": "v2"}, {"x-session-id": "x" * 5000}, {"x-request-id": "../../x"},
    {"content-type": "application/x-python-pickle"}, {"x-forwarded-for": "127.0.0.1"}, {"host": "evil.example"},
    {"transfer-encoding": "chunked"},
]  # fmt: skip
PATHS = ["/v1/models/..%2f..%2fetc%2fpasswd", "/v1/models/%00", "/v1/models/" + "x" * 5000, "/%2e%2e/", "//v1/models",
         "/v1/chat/completions/", "/engines/base/v1/models", "/v1/load_lora_adapter", "/docs", "/redoc"]  # fmt: skip
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
)  # fmt: skip


def fine(answer: httpx.Response) -> None:
    assert answer.status_code < 500, (answer.status_code, answer.text)
    assert "Traceback" not in answer.text and "site-packages" not in answer.text
    assert "evil" not in str(dict(answer.headers))
    if answer.status_code >= 400 and answer.headers.get("content-type") == "application/json":
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert len(answer.text) < 2000


def test_bodies_headers_and_paths(version: Version) -> None:
    async def work(client: httpx.AsyncClient, engine: Engine, _: State) -> None:
        for path in (CHAT, "/v1/completions", "/v1/embeddings", "/v1/feedback"):
            for body in BODIES:
                answer = await client.post(path, content=body)
                fine(answer)
                assert answer.status_code >= 400 or path == CHAT, (path, body[:80])
        for headers in HEADERS:
            fine(await client.post(CHAT, content=orjson.dumps(HELLO), headers=headers))
        for path in PATHS:
            for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
                fine(await client.request(method, path))
        for own, _ in engine.asked:
            assert own["x-tunesmith-engine"] != "guess" and "authorization" not in own

    talk(version, work)


def test_nobody_is_answered_without_a_key(version: Version) -> None:
    Keyring(Database.open(find_home().database_url)).create("shop", ("infer",), "ann")

    async def work(client: httpx.AsyncClient, engine: Engine, _: State) -> None:
        for headers in HEADERS:
            for method, path in (
                ("POST", CHAT), ("POST", "/v1/completions"), ("POST", "/v1/embeddings"), ("POST", "/v1/feedback"),
                ("GET", "/v1/models"), ("GET", "/v1/models/tiny"), ("GET", "/metrics"),
            ):  # fmt: skip
                answer = await client.request(method, path, json=HELLO if method == "POST" else None, headers=headers)
                assert answer.status_code in (400, 401), (path, headers)
        assert not engine.asked

    talk(version, work, keys="required")


@pytest.mark.slow
def test_schemathesis_finds_nothing(version: Version, tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient, _: Engine, __: State) -> None:
        command = [
            str(Path(sys.executable).with_name("schemathesis")), "run", f"{client.base_url}/openapi.json",
            "--checks", ",".join(CHECKS),
            "--max-examples", "25", "--generation-deterministic", "--no-color",
        ]  # fmt: skip
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]

    talk(version, work)
