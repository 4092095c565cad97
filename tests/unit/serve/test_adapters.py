"""Adapters in memory: read once, kept within the limit, never taken from under a request."""

from __future__ import annotations

import asyncio

import pytest

from tunesmith.serve import adapters as module
from tunesmith.serve.adapters import Adapters
from tunesmith.serve.problem import Problem


class Engine:
    """Stands in for vLLM: remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.fails = False

    async def load(self, name: str) -> None:
        self.told.append(f"load {name}")
        await asyncio.sleep(0.001)
        if self.fails:
            raise Problem(503, "cannot be loaded", "not_loaded")

    async def unload(self, name: str) -> None:
        self.told.append(f"unload {name}")


def run(limit: int, work: object) -> Engine:
    engine = Engine()
    asyncio.run(work(engine, Adapters(limit, engine.load, engine.unload)))  # type: ignore[operator]
    return engine


def test_many_requests_at_once_read_it_once() -> None:
    async def work(_: Engine, adapters: Adapters) -> None:
        async def one() -> None:
            async with adapters.using("a@1"):
                assert adapters.loaded == ("a@1",)

        await asyncio.gather(*(one() for _ in range(20)))

    assert run(2, work).told == ["load a@1"]


def test_the_one_unused_for_longest_makes_room() -> None:
    async def work(_: Engine, adapters: Adapters) -> None:
        for name in ("a@1", "a@2", "a@1", "a@3"):
            async with adapters.using(name):
                pass
        assert set(adapters.loaded) == {"a@1", "a@3"}

    assert run(2, work).told == ["load a@1", "load a@2", "unload a@2", "load a@3"]


def test_one_in_use_is_never_taken_away() -> None:
    async def work(_: Engine, adapters: Adapters) -> None:
        free = asyncio.Event()

        async def hold() -> None:
            async with adapters.using("a@1"):
                await free.wait()

        async def want() -> None:
            async with adapters.using("a@2"):
                pass

        holding, wanting = asyncio.create_task(hold()), asyncio.create_task(want())
        await asyncio.sleep(0.02)
        assert not wanting.done()
        free.set()
        await asyncio.gather(holding, wanting)

    assert run(1, work).told == ["load a@1", "unload a@1", "load a@2"]


def test_waiting_for_room_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.01)

    async def work(_: Engine, adapters: Adapters) -> None:
        async with adapters.using("a@1"):
            with pytest.raises(Problem, match="all 1 adapters that the engine keeps are in use") as caught:
                async with adapters.using("a@2"):
                    pass
            assert caught.value.status == 503

    run(1, work)


def test_what_could_not_be_loaded_is_tried_again() -> None:
    async def work(engine: Engine, adapters: Adapters) -> None:
        engine.fails = True
        with pytest.raises(Problem):
            async with adapters.using("a@1"):
                pass
        assert adapters.loaded == ()
        engine.fails = False
        async with adapters.using("a@1"):
            assert adapters.loaded == ("a@1",)

    assert run(1, work).told == ["load a@1", "load a@1"]
