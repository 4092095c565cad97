"""The gate: together or alone, and nobody is turned away."""

from __future__ import annotations

import asyncio

import pytest

from tunesmith.serve.gate import Gate


def test_a_change_waits_for_requests_and_they_for_it() -> None:
    told: list[str] = []

    async def request(gate: Gate, name: str, seconds: float) -> None:
        async with gate.request():
            told.append(f"{name} in")
            await asyncio.sleep(seconds)
            told.append(f"{name} out")

    async def change(gate: Gate) -> None:
        async with gate.alone(5):
            told.append("change")
            await asyncio.sleep(0.01)
            told.append("changed")

    async def work() -> None:
        gate = Gate()
        first = asyncio.create_task(request(gate, "a", 0.02))
        await asyncio.sleep(0)
        changing = asyncio.create_task(change(gate))
        await asyncio.sleep(0)
        await asyncio.gather(first, changing, request(gate, "b", 0), request(gate, "c", 0))

    asyncio.run(work())
    assert told[:4] == ["a in", "a out", "change", "changed"]
    assert set(told[4:]) == {"b in", "b out", "c in", "c out"}


def test_one_that_waits_too_long_lets_requests_in_again() -> None:
    async def work() -> None:
        gate = Gate()
        async with gate.request():
            with pytest.raises(TimeoutError):
                async with gate.alone(0.01):
                    raise AssertionError("a request is inside")
            async with gate.request():
                pass

    asyncio.run(work())


def test_a_failed_change_or_request_does_not_close_it() -> None:
    async def work() -> None:
        gate = Gate()
        with pytest.raises(ValueError):
            async with gate.alone(1):
                raise ValueError
        with pytest.raises(ValueError):
            async with gate.request():
                raise ValueError
        async with gate.alone(0.01):
            pass

    asyncio.run(work())
