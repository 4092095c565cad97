"""Which version is in an engine's weights: the alias's, once it is proven; and the base's again when it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tunesmith.serve import fast as module
from tunesmith.serve.adapters import Adapters
from tunesmith.serve.fast import Fast, Wanted
from tunesmith.serve.gate import Gate
from tunesmith.serve.parity import Proof
from tunesmith.serve.problem import Problem

SAID = {"base": -3.0, "tiny@1": -1.0, "tiny@2": -2.0}


class Engine:
    """Stands in for vLLM: says what the version that was asked says, off by what a test sets."""

    dtype = "float32"

    def __init__(self) -> None:
        self.told: list[str] = []
        self.off: dict[str, float] = {}
        self.fails: set[str] = set()

    async def reload(self, weights: Path, name: str) -> None:
        if name in self.fails:
            raise TimeoutError("the worker does not answer")
        self.told.append(f"weights of {name}")

    async def score(self, name: str, proof: Proof) -> list[float]:
        return [SAID[name] + self.off.get(name, 0.0)]


class World:
    """An engine with everything around it; the alias means `aim`."""

    def __init__(self, folder: Path) -> None:
        self.engine, self.gate, self.aim = Engine(), Gate(), "tiny@1"
        self.proofs: tuple[Proof, ...] | None = None
        self.adapters = Adapters(4, self.load, self.unload, "base")
        self.fast = Fast(
            "base", folder / "base", folder, self.engine, self.adapters, self.gate, self.find, lambda: self.aim
        )
        self.folder = folder

    def find(self, name: str) -> Wanted:
        proofs = (Proof([1], [2], [SAID[name]], [SAID["base"]]),) if self.proofs is None else self.proofs
        return Wanted(name, name, self.folder / name, proofs)

    async def load(self, name: str) -> None:
        self.engine.told.append(f"load {name} from {(await self.fast.files(name)).name}")
        await self.fast.prove(name)

    async def unload(self, name: str) -> None:
        self.engine.told.append(f"unload {name}")

    async def ask(self, name: str) -> None:
        async with self.gate.request(), self.adapters.using(name):
            pass


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], World]:
    monkeypatch.setattr(module, "merge", lambda *_: None)
    monkeypatch.setattr(module, "rebase", lambda *_: None)

    def run(work: Callable[[World], Coroutine[Any, Any, None]]) -> World:
        async def main() -> World:
            world = World(tmp_path)
            await work(world)
            return world

        return asyncio.run(main())

    return run


def test_the_alias_is_followed_and_everyone_can_be_asked(play: Any) -> None:
    async def work(world: World) -> None:
        await world.ask("tiny@2")
        await world.fast.look()
        await world.fast.look()
        for name in SAID:
            await world.ask(name)
        world.aim = "tiny@2"
        await world.fast.look()

    world = play(work)
    assert world.engine.told == [
        "load tiny@2 from tiny@2",
        "weights of tiny@1", "load base from base-on-tiny@1", "load tiny@2 from tiny@2-on-tiny@1",
        "weights of tiny@2", "load base from base-on-tiny@2", "load tiny@1 from tiny@1-on-tiny@2",
    ]  # fmt: skip
    assert world.fast.to_json()["merged"] == "tiny@2" and not world.fast.declined


@pytest.mark.parametrize("wrong", ["tiny@1", "base", "tiny@2"])
def test_what_cannot_be_proven_is_undone_before_anyone_is_answered(play: Any, wrong: str) -> None:
    async def work(world: World) -> None:
        await world.ask("tiny@2")
        world.engine.off[wrong] = 0.5
        await world.fast.look()
        world.engine.off.clear()
        await world.fast.look()
        await world.ask("tiny@1")

    world = play(work)
    assert [one for one in world.engine.told if one.startswith("weights")] == ["weights of tiny@1", "weights of base"]
    assert world.fast.merged is None
    assert world.fast.declined["tiny@1"].startswith(f"log-probabilities of {wrong} are 0.5 off, and 0.01 is explained")
    assert world.engine.told[-1] == "load tiny@1 from tiny@1"


def test_a_version_that_is_loaded_later_and_differs_brings_the_base_back(play: Any) -> None:
    async def work(world: World) -> None:
        await world.fast.look()
        world.engine.off["tiny@2"] = 0.5
        with pytest.raises(Problem, match="tiny@2 is being loaded another way"):
            await world.ask("tiny@2")
        await world.fast.look()
        world.engine.off.clear()
        await world.ask("tiny@2")

    world = play(work)
    assert world.fast.merged is None and world.engine.told[-1] == "load tiny@2 from tiny@2"


def test_a_version_without_proofs_is_not_merged(play: Any) -> None:
    async def work(world: World) -> None:
        world.proofs = ()
        await world.fast.look()

    world = play(work)
    assert world.engine.told == [] and "parity check" in world.fast.declined["tiny@1"]


def test_requests_that_do_not_end_put_it_off(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)

    async def work(world: World) -> None:
        async with world.gate.request():
            await world.fast.look()
            assert world.engine.told == []
        await world.fast.look()

    assert play(work).fast.to_json()["merged"] == "tiny@1"


def test_weights_that_nobody_knows_answer_nobody(play: Any) -> None:
    async def work(world: World) -> None:
        world.engine.fails.add("tiny@1")
        with pytest.raises(RuntimeError, match="could not be changed"):
            await world.fast.look()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(world.ask("base"), 0.05)

    world = play(work)
    assert world.engine.told == [] and world.gate.is_shut


def test_an_alias_that_means_nothing_any_more_is_the_base(play: Any) -> None:
    async def work(world: World) -> None:
        await world.fast.look()
        world.aim = None
        await world.fast.look()

    assert play(work).engine.told[-1] == "weights of base"
