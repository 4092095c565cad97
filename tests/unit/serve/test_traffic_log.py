"""What a gateway writes down of its requests as text, before an engine that is played by the test."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse, Response, StreamingResponse

from tests.unit.serve.test_gateway import CHAT, HELLO, Engine, talk
from tunesmith.experiment.book import Book
from tunesmith.experiment.experiment import Variant
from tunesmith.monitor.traffic.place import Place
from tunesmith.monitor.traffic.read import read_traffic
from tunesmith.recipe.monitor import TrafficSection
from tunesmith.registry.version import Version
from tunesmith.serve.state import State
from tunesmith.store.database import Database
from tunesmith.store.home import find_home

MAIL = {**HELLO, "messages": [{"role": "user", "content": "I am ann@shop.com"}]}


def says(engine: Engine, text: str, reason: str = "stop") -> None:
    """Have the engine answer like vLLM, whole or streamed."""

    async def answer() -> Response:
        usage = {"prompt_tokens": 5, "completion_tokens": 2}
        if not engine.asked[-1][1].get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
            return JSONResponse({"choices": [choice], "usage": usage})

        async def pieces() -> AsyncIterator[bytes]:
            for piece in (text[:3], text[3:]):
                yield f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': piece}}]})}\n\n".encode()
            end = {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
            yield f"data: {json.dumps(end)}\n\ndata: [DONE]\n\n".encode()

        return StreamingResponse(pieces(), media_type="text/event-stream")

    engine.answer = answer


def written(state: State, name: str = "tiny", **asked: Any) -> list[dict[str, Any]]:
    """What is in the log by now."""
    assert state.traffic_log is not None and state.traffic_log.flush()
    return read_traffic(find_home(), name, **asked).to_pylist()


def test_requests_and_answers_are_written_redacted(version: Version) -> None:
    async def work(client: httpx.AsyncClient, engine: Engine, state: State) -> None:
        says(engine, "Hello ann@shop.com, +49 170 1234567.")
        ids = []
        for stream in (False, True):
            answer = await client.post(CHAT, json={**MAIL, "stream": stream, "user": "ann"})
            ids.append(answer.headers["x-request-id"])
            assert "ann@shop.com" in answer.text or stream
        rows = written(state)
        assert [row["id"] for row in rows] == ids
        for row in rows:
            assert json.loads(row["messages"]) == [{"role": "user", "content": "I am [e-mail address]"}]
            assert row["answer"] == "Hello [e-mail address], [phone number]."
            assert (row["name"], row["model"], row["version"], row["role"]) == ("tiny", "tiny", "tiny@1", "live")
            assert (row["status"], row["finish_reason"], row["answer_tokens"]) == (200, "stop", 2)
            assert (row["empty"], row["truncated"], row["refused"]) == (False, False, False)
            assert row["seconds"] > 0 and row["tenant"]

    talk(version, work, traffic=TrafficSection())


def test_without_the_section_nothing_is_written(version: Version) -> None:
    async def work(client: httpx.AsyncClient, engine: Engine, state: State) -> None:
        says(engine, "Hello")
        await client.post(CHAT, json=HELLO)
        assert state.traffic_log is None
        assert len(read_traffic(find_home(), "tiny")) == 0
        assert "tunesmith_traffic" not in (await client.get("/metrics")).text

    talk(version, work)


@pytest.mark.parametrize(
    ("model", "headers", "rate", "rows"),
    [
        ("tiny", {}, 1.0, 1),
        ("tiny@1", {}, 1.0, 1),
        ("tiny", {"X-Tunesmith-No-Log": "1"}, 1.0, 0),
        ("tiny", {"X-Tunesmith-No-Log": "0"}, 1.0, 1),
        ("tiny", {}, 0.0, 0),
        ("smol", {}, 1.0, 0),
        ("nobody", {}, 1.0, 0),
    ],
)
def test_what_is_written_and_what_is_not(
    version: Version, model: str, headers: dict[str, str], rate: float, rows: int
) -> None:
    async def work(client: httpx.AsyncClient, engine: Engine, state: State) -> None:
        says(engine, "Hello")
        await client.post(CHAT, json={**HELLO, "model": model}, headers=headers)
        assert len(written(state)) == rows
        assert state.traffic_log is not None and state.traffic_log.lost == 0

    talk(version, work, traffic=TrafficSection(rate=rate))


def test_a_shadows_answer_is_written_beside_the_one_it_copies(version: Version) -> None:
    variants = {"control": Variant(version="tiny@1"), "other": Variant(messages=({"role": "system", "content": "B."},))}
    Book(Database.open(find_home().database_url)).start("tiny", variants, "shadow", "ann", "a test")

    async def work(client: httpx.AsyncClient, engine: Engine, state: State) -> None:
        import asyncio

        says(engine, "Hello")
        answer = await client.post(CHAT, json=HELLO)
        await client.post(CHAT, json=HELLO, headers={"X-Tunesmith-No-Log": "1"})
        async with asyncio.timeout(5):
            while len(engine.asked) < 4 or len(written(state, roles=("live", "shadow"))) < 2:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
        live, shadow = sorted(written(state, roles=("live", "shadow")), key=lambda row: str(row["role"]))
        assert live["id"] == answer.headers["x-request-id"] == shadow["request_of"] and live["request_of"] is None
        assert (live["variant"], shadow["variant"], shadow["version"]) == ("control", "other", "smol")
        assert live["experiment"] == shadow["experiment"] == "tiny.1" and live["messages"] == shadow["messages"]

    talk(version, work, traffic=TrafficSection())


def test_what_answers_are_like_is_counted_for_prometheus(version: Version) -> None:
    async def work(client: httpx.AsyncClient, engine: Engine, state: State) -> None:
        for text, reason in (("Fine.", "stop"), ("", "stop"), ("I'm sorry, but I can't help with that.", "stop"),
                             ("and so on " * 60, "length")):  # fmt: skip
            says(engine, text, reason)
            await client.post(CHAT, json=HELLO)
        written(state)
        text = (await client.get("/metrics")).text
        found = re.findall(r'tunesmith_answers_total\{role="live",version="tiny@1",what="([a-z ]+)"\} (\S+)', text)
        assert dict(found) == {
            "looked at": "4.0", "empty": "1.0", "refused": "1.0", "truncated": "1.0", "repeated": "1.0",
            "invalid": "0.0",
        }  # fmt: skip
        assert 'tunesmith_traffic_rows_total{what="written"} 4.0' in text
        assert 'tunesmith_traffic_rows_total{what="lost"} 0.0' in text
        assert "tunesmith_traffic_pending_bytes 0.0" in text
        assert 'tunesmith_tokens_total{role="live",version="tiny@1",what="written"} 8.0' in text

    talk(version, work, traffic=TrafficSection())


def test_an_answer_without_end_is_passed_on_and_not_kept(version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.serve.forward.MAX_KEPT", 1000)

    async def work(client: httpx.AsyncClient, engine: Engine, state: State) -> None:
        says(engine, "Hello " * 1000)
        answer = await client.post(CHAT, json={**HELLO, "stream": True})
        assert answer.text.count("Hello") == 999  # the first is in two pieces
        assert written(state) == [] and state.traffic_log is not None and state.traffic_log.lost == 1
        await client.post(CHAT, json=HELLO)
        assert len(written(state)) == 1

    talk(version, work, traffic=TrafficSection())


def test_requests_go_on_while_storage_hangs(version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    let_go = threading.Event()

    def hangs(self: Place, path: str, content: bytes) -> None:
        let_go.wait(30)

    monkeypatch.setattr(Place, "write", hangs)
    monkeypatch.setattr("tunesmith.monitor.traffic.log.CLOSE_SECONDS", 0.1)

    async def work(client: httpx.AsyncClient, engine: Engine, state: State) -> None:
        says(engine, "Hello " * 200)
        assert state.traffic_log is not None
        state.traffic_log._flush_seconds = 0.0
        for _ in range(100):
            assert (await client.post(CHAT, json=HELLO)).status_code == 200
        assert state.traffic_log.lost > 0
        assert "tunesmith_traffic_rows_total" in (await client.get("/metrics")).text
        let_go.set()

    talk(version, work, traffic=TrafficSection(max_pending_mib=0.05))
