"""The gateway before an engine that is played by the test: what it asks, passes on, refuses, does about failures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.unit.serve.conftest import SECRET
from tests.unit.serve.ports import free_port
from tunesmith.experiment.book import Book
from tunesmith.experiment.experiment import Variant
from tunesmith.keys.keyring import Keyring
from tunesmith.recipe.serve import LimitsSection
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import Version
from tunesmith.serve.gateway_app import build_app
from tunesmith.serve.spec import EngineSpec, GatewaySpec
from tunesmith.serve.state import State
from tunesmith.store.database import Database
from tunesmith.store.home import find_home
from tunesmith.store.tables import requests

CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}]}
KIND = {"role": "system", "content": "Be kind."}


class Engine:
    """Plays vLLM: notes what it is asked, answers in three pieces or as `answer` says."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.answer: Callable[[], Awaitable[Response]] | None = None
        self.left = asyncio.Event()

    async def chat(self, request: Request) -> Response:
        self.asked.append((dict(request.headers), await request.json()))
        if self.answer is not None:
            return await self.answer()
        if not self.asked[-1][1].get("stream"):
            return JSONResponse({"model": self.asked[-1][1]["model"]})

        async def pieces() -> AsyncIterator[bytes]:
            for word in ("one", "two"):
                yield f"data: {json.dumps({'word': word})}\n\n".encode()
            yield b"data: [DONE]\n\n"

        return StreamingResponse(pieces(), media_type="text/event-stream")

    async def health(self, request: Request) -> Response:
        return Response(status_code=200 if request.headers.get("x-tunesmith-engine") == SECRET else 401)


def talk(version: Version, work: Callable[[httpx.AsyncClient, Engine, State], Awaitable[None]], **changes: Any) -> None:
    """Run `work` with a client of a gateway before an engine, all three real servers but for the engine's answers."""

    async def whole() -> None:
        engine = Engine()
        routes = [
            Route("/engines/base/v1/chat/completions", engine.chat, methods=["POST"]),
            Route("/engines/base/health", engine.health),
        ]
        port, own = free_port(), free_port()
        spec = EngineSpec(name="base", model="smol", source="/m", revision=str(version.base_revision))
        values: dict[str, Any] = {"keys": "off", "address": f"http://127.0.0.1:{port}", **changes}
        state = State(GatewaySpec(engines=(spec,), names=("tiny", "unknown"), **values))
        servers = [
            uvicorn.Server(uvicorn.Config(app, port=at, log_level="error"))
            for app, at in ((Starlette(routes=routes), port), (build_app(state), own))
        ]
        running = [asyncio.create_task(server.serve()) for server in servers]
        while not all(server.started for server in servers):
            await asyncio.sleep(0.01)
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{own}", timeout=10) as client:
                await work(client, engine, state)
        finally:
            for server in servers:
                server.should_exit = True
            await asyncio.gather(*running)

    asyncio.run(whole())


def test_a_name_is_answered_by_its_version(version: Version) -> None:
    async def work(client: httpx.AsyncClient, engine: Engine, _: State) -> None:
        answer = await client.post(CHAT, json=HELLO)
        assert answer.json() == {"model": "tiny@1"}
        assert answer.headers["x-tunesmith-version"] == "tiny@1"
        headers, body = engine.asked[0]
        assert body == {**HELLO, "model": "tiny@1", "messages": [KIND, *HELLO["messages"]]}
        assert headers["x-tunesmith-engine"] == SECRET and headers["x-tunesmith-adapter"] == "tiny@1"
        assert "authorization" not in headers
        await client.post(CHAT, json={**HELLO, "model": "smol"})
        assert "x-tunesmith-adapter" not in engine.asked[1][0]

    talk(version, work)


def test_a_stream_is_passed_on_as_it_comes(version: Version) -> None:
    async def work(client: httpx.AsyncClient, engine: Engine, _: State) -> None:
        goes_on = asyncio.Event()

        async def slowly() -> Response:
            async def pieces() -> AsyncIterator[bytes]:
                yield b"data: 1\n\n"
                await goes_on.wait()
                yield b"data: 2\n\n"

            return StreamingResponse(pieces(), media_type="text/event-stream")

        engine.answer = slowly
        async with client.stream("POST", CHAT, json={**HELLO, "stream": True}) as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "data: 1"
            goes_on.set()
            assert [line async for line in lines if line] == ["data: 2"]

    talk(version, work)


def test_a_client_that_leaves_ends_the_engines_work(version: Version) -> None:
    async def work(client: httpx.AsyncClient, engine: Engine, _: State) -> None:
        async def for_ever() -> Response:
            async def pieces() -> AsyncIterator[bytes]:
                try:
                    while True:
                        yield b"data: 1\n\n"
                        await asyncio.sleep(0.01)
                finally:
                    engine.left.set()

            return StreamingResponse(pieces(), media_type="text/event-stream")

        engine.answer = for_ever
        async with client.stream("POST", CHAT, json={**HELLO, "stream": True}) as answer:
            await anext(answer.aiter_lines())
        await asyncio.wait_for(engine.left.wait(), 5)
        metrics = (await client.get("/metrics")).text
        assert (
            'tunesmith_unfinished_total{path="/v1/chat/completions",version="tiny@1",why="client left"} 1.0' in metrics
        )

    talk(version, work)


def test_an_engine_that_is_lost_never_looks_like_an_answer(version: Version) -> None:
    async def work(client: httpx.AsyncClient, engine: Engine, _: State) -> None:
        async def breaks() -> Response:
            async def pieces() -> AsyncIterator[bytes]:
                yield b"data: 1\n\n"
                raise RuntimeError("the engine breaks, as this test wants")

            return StreamingResponse(pieces(), media_type="text/event-stream")

        engine.answer = breaks
        answer = await client.post(CHAT, json={**HELLO, "stream": True})
        last = answer.text.strip().splitlines()[-1]
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "engine_lost"
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(CHAT, json=HELLO)

    talk(version, work)


def test_an_answer_that_takes_too_long_is_ended(version: Version) -> None:
    async def work(client: httpx.AsyncClient, engine: Engine, _: State) -> None:
        async def never() -> Response:
            await asyncio.sleep(2)
            return Response()

        engine.answer = never
        answer = await client.post(CHAT, json=HELLO)
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")

    talk(version, work, limits=LimitsSection(timeout_seconds=0.2))


def test_no_engine_is_said(version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.serve.forward.PAUSE_SECONDS", 0.001)

    async def work(client: httpx.AsyncClient, _: Engine, __: State) -> None:
        answer = await client.post(CHAT, json=HELLO)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["error"]["message"] == "the engine does not answer"
        health = await client.get("/healthz")
        assert (health.status_code, health.json()["engines"]) == (503, {"base": False})

    talk(version, work, address=f"http://127.0.0.1:{free_port()}")


def test_keys_are_needed_as_soon_as_there_is_one(version: Version) -> None:
    async def work(client: httpx.AsyncClient, _: Engine, state: State) -> None:
        assert (await client.get("/v1/models")).status_code == 200
        _, secret = Keyring(Database.open(find_home().database_url)).create("shop", ("infer",), "ann", 2)
        state.refresh()
        for path in ("/v1/models", "/v1/models/tiny", "/metrics"):
            assert (await client.get(path)).status_code == 401
        assert (await client.post(CHAT, json=HELLO)).json()["error"]["code"] == "missing_key"
        headers = {"authorization": f"Bearer {secret}"}
        assert (await client.get("/metrics", headers=headers)).status_code == 403
        statuses = [(await client.post(CHAT, json=HELLO, headers=headers)).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]

    talk(version, work, keys="auto")


def test_tokens_of_every_kind_of_answer_count(version: Version) -> None:
    _, secret = Keyring(Database.open(find_home().database_url)).create("shop", ("infer",), "ann", None, 10)

    async def work(client: httpx.AsyncClient, engine: Engine, _: State) -> None:
        async def whole() -> Response:
            return JSONResponse({"usage": {"prompt_tokens": 5, "completion_tokens": 12, "total_tokens": 17}})

        engine.answer = whole
        headers = {"authorization": f"Bearer {secret}"}
        statuses = [(await client.post(CHAT, json=HELLO, headers=headers)).status_code for _ in range(2)]
        assert statuses == [200, 429]

    talk(version, work, keys="required")


def test_an_alias_that_moves_is_followed(version: Version, tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient, _: Engine, state: State) -> None:
        registry = Registry.open(find_home())
        assert (await client.post(CHAT, json={**HELLO, "model": "tiny@champion"})).status_code == 404
        registry.move_alias("tiny", "champion", 1, "ann", "it is good")
        async with asyncio.timeout(2):
            while (await client.post(CHAT, json={**HELLO, "model": "tiny@champion"})).status_code != 200:
                await asyncio.sleep(0.05)
        assert not state.refresh()

    talk(version, work)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/docs", 404),
        ("GET", CHAT, 405),
        ("POST", "/v1/load_lora_adapter", 404),
        ("POST", "/engines/base/v1/chat/completions", 404),
        ("GET", "/v1/models/nobody", 404),
        ("GET", "/v1/models/tiny@1", 200),
        ("GET", "/openapi.json", 200),
    ],
)
def test_paths(version: Version, method: str, path: str, status: int) -> None:
    async def work(client: httpx.AsyncClient, engine: Engine, _: State) -> None:
        answer = await client.request(method, path, json=HELLO if method == "POST" else None)
        assert answer.status_code == status
        if status >= 400:
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert not engine.asked

    talk(version, work)


def test_a_body_that_is_too_large_is_not_read(version: Version) -> None:
    async def work(client: httpx.AsyncClient, engine: Engine, _: State) -> None:
        answer = await client.post(CHAT, content=b"x" * 200_000)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
        assert not engine.asked

    talk(version, work, limits=LimitsSection(body_mib=0.1))


def test_an_experiment_splits_users_and_everything_of_it_is_written_down(version: Version) -> None:
    prompt = Variant(messages=({"role": "system", "content": "Be brief."},))
    Book(Database.open(find_home().database_url)).start(
        "tiny", {"control": Variant(version="tiny@1"), "prompt": prompt}, "ab", "ann", "a test"
    )

    async def work(client: httpx.AsyncClient, engine: Engine, state: State) -> None:
        seen: dict[str, str] = {}
        for number in (*range(30), *range(30)):
            user = f"user-{number}"
            answer = await client.post(CHAT, json={**HELLO, "user": user})
            variant = answer.headers["x-tunesmith-variant"]
            assert seen.setdefault(user, variant) == variant
            assert answer.headers["x-tunesmith-experiment"] == "tiny.1"
            own = engine.asked[-1][1]
            if variant == "prompt":
                assert own["model"] == "smol" and own["messages"][0]["content"] == "Be brief."
            else:
                assert own["model"] == "tiny@1" and own["messages"] == [KIND, *HELLO["messages"]]
        assert set(seen.values()) == {"control", "prompt"}
        said = await client.post(
            "/v1/feedback", json={"id": f"chatcmpl-{answer.headers['x-request-id']}", "thumb": "up"}
        )
        assert said.json() == {"id": answer.headers["x-request-id"], "kept": ["thumb"]}
        unknown = await client.post("/v1/feedback", json={"id": "0" * 32, "thumb": "up"})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_answer")
        with state.database.reading() as connection:
            rows = connection.execute(select(requests.c.variant, requests.c.unit)).all()
        assert len(rows) == 60
        assert len({row.unit for row in rows}) == 30

    talk(version, work)


def test_a_shadow_is_asked_and_nobody_sees_its_answer(version: Version) -> None:
    shadow = Variant(messages=({"role": "system", "content": "Be brief."},))
    Book(Database.open(find_home().database_url)).start(
        "tiny", {"control": Variant(version="tiny@1"), "shadow": shadow}, "shadow", "ann", "a test"
    )

    async def work(client: httpx.AsyncClient, engine: Engine, state: State) -> None:
        answer = await client.post(CHAT, json={**HELLO, "user": "ann"})
        assert answer.json() == {"model": "tiny@1"}
        async with asyncio.timeout(5):
            while True:
                await asyncio.to_thread(state.recorder.flush)
                with state.database.reading() as connection:
                    rows = connection.execute(select(requests.c.variant, requests.c.role)).all()
                if len(rows) == 2:
                    break
                await asyncio.sleep(0.05)
        assert sorted(tuple(row) for row in rows) == [("control", "live"), ("shadow", "shadow")]
        assert sorted(body["model"] for _, body in engine.asked) == ["smol", "tiny@1"]

    talk(version, work)


def test_a_broken_variant_leaves_by_itself(version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.serve.state.REFEREE_SECONDS", 0.2)
    broken = Variant(messages=({"role": "system", "content": "Break."},))
    book = Book(Database.open(find_home().database_url))
    book.start("tiny", {"control": Variant(version="tiny@1"), "broken": broken}, "ab", "ann", "a test")

    async def work(client: httpx.AsyncClient, engine: Engine, _: State) -> None:
        async def fails() -> Response:
            bad = engine.asked[-1][1]["messages"][0]["content"] == "Break."
            return JSONResponse({"error": {"message": "broken"}}, 500) if bad else JSONResponse({})

        engine.answer = fails
        async with asyncio.timeout(10):
            number = 0
            while book.running():
                await client.post(CHAT, json={**HELLO, "user": f"user-{number}"})
                number += 1
        ended = book.find("tiny.1")
        assert ended.verdict == "rolled back" and "requests that failed" in str(ended.reason)
        async with asyncio.timeout(2):
            while "x-tunesmith-variant" in (await client.post(CHAT, json=HELLO)).headers:
                await asyncio.sleep(0.05)

    talk(version, work)


def test_the_review_page_is_under_the_gateway(version: Version) -> None:
    async def work(client: httpx.AsyncClient, _: Engine, state: State) -> None:
        secret = Keyring(state.database).create("ann", ("review",), "test")[1]
        asked = await client.get("/review", follow_redirects=True)
        assert str(asked.url).endswith("/review/login") and "API key" in asked.text
        assert "default-src 'none'" in asked.headers["content-security-policy"]
        page = await client.post("/review/login", data={"key": secret}, follow_redirects=True)
        assert "What is to be judged" in page.text and page.request.url.path == "/review/"
        assert (await client.get("/review/static/review.js")).status_code == 200
        assert "/review" not in (await client.get("/openapi.json")).text

    talk(version, work)
