"""The version an engine has merged into its weights, which answers without an adapter's cost: it follows an alias.

Every version can be asked of an engine at any time, whichever one is merged: the others, and the base, are then
adapters rebased onto it. Nobody gets an answer of new weights before they have been compared with what the trainer's
model said when the version passed its parity check.
"""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tunesmith.errors import TunesmithError
from tunesmith.models.rebase import merge, rebase
from tunesmith.serve.adapters import Adapters
from tunesmith.serve.gate import Gate
from tunesmith.serve.parity import TOLERANCE, Proof
from tunesmith.serve.problem import Problem
from tunesmith.store.durable import sweep, temporary_sibling

FOLLOW_SECONDS = 2.0
"""How often an engine looks which version it should have."""

PATIENCE_SECONDS, MOST_PATIENCE = 10.0, 160.0
"""How long requests are held while those before them end. Where that is not enough, it is tried again with twice."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """A version with its proofs, and the folder of its files; `key` begins its content hash."""

    name: str
    key: str
    folder: Path
    proofs: tuple[Proof, ...]


class Engine(Protocol):
    """What is asked of an engine. `dtype` is the type it computes in."""

    dtype: str

    async def reload(self, weights: Path, name: str) -> None:
        """Take other weights, under a name; adapters are forgotten. Nothing may be under way."""

    async def score(self, name: str, proof: Proof) -> list[float]:
        """Log-probabilities of the proof's answer as `name` gives them now: the weights' own, or a loaded adapter."""


class Fast:
    """One engine's. `find` gives a version by name, `aim` the name that the alias means now, both off the loop."""

    def __init__(
        self, base: str, source: Path, scratch: Path, engine: Engine, adapters: Adapters, gate: Gate,
        find: Callable[[str], Wanted], aim: Callable[[], str | None],
    ) -> None:  # fmt: skip
        self._base, self._source, self._scratch = base, source, scratch
        self._engine, self._adapters, self._gate = engine, adapters, gate
        self._find, self._aim = find, aim
        self._patience = PATIENCE_SECONDS
        self.merged: Wanted | None = None
        self.declined: dict[str, str] = {}
        self.seconds: float | None = None
        """How long requests were held by the last change."""

    async def follow(self) -> None:
        """Go on looking, until cancelled."""
        while True:
            await asyncio.sleep(FOLLOW_SECONDS * random.uniform(0.8, 1.2))
            try:
                await self.look()
            except (TunesmithError, OSError) as error:
                log.warning("no version can be merged into the weights now: %s", error)
            except Exception:
                # An engine whose weights were left half taken says so when Serve asks how it is.
                log.exception("merging a version into the weights has failed")

    async def look(self) -> None:
        """See what the alias means, and change to it. Raises TunesmithError where its files cannot be had."""
        name = await asyncio.to_thread(self._aim)
        if name in self.declined:
            name = None
        if name == (self.merged.name if self.merged else None):
            return
        wanted = await asyncio.to_thread(self._find, name) if name is not None else None
        if wanted is not None and not wanted.proofs:
            self._decline(wanted.name, "its parity check is of an older release; it is to be made again")
            return
        await self._change(wanted)

    async def files(self, name: str) -> Path:
        """The adapter that stands for a version, or for the base, on the weights as they are; written once.

        Raises TunesmithError where its files cannot be had.
        """
        own = None if name == self._base else await asyncio.to_thread(self._find, name)
        if self.merged is None:
            assert own is not None
            return own.folder
        target = self._scratch / "rebased" / f"{own.key if own else 'base'}-on-{self.merged.key}"
        await asyncio.to_thread(rebase, own.folder if own else None, self.merged.folder, target)
        return target

    async def prove(self, name: str) -> None:
        """Compare what a loaded adapter says on merged weights with what was said in its parity check.

        Raises Problem 503 where it differs; the weights are then the base's again soon. A version that has not had its
        check yet is not compared: it gets no traffic.
        """
        if self.merged is None:
            return
        of_base = name == self._base
        proofs = self.merged.proofs if of_base else (await asyncio.to_thread(self._find, name)).proofs
        if (reason := await self._differs(name, proofs, of_base)) is not None:
            self._decline(self.merged.name, reason)
            raise Problem(503, f"{name} is being loaded another way", "not_loaded", headers={"Retry-After": "5"})

    async def _change(self, wanted: Wanted | None) -> None:
        weights, made = self._source, None
        if wanted is not None:
            weights = made = temporary_sibling(self._scratch / "merged" / wanted.key)
            made.parent.mkdir(parents=True, exist_ok=True)
            sweep(made.parent)
            kept = "float32" if self._engine.dtype == "float32" else None
            await asyncio.to_thread(merge, self._source, wanted.folder, made, kept)
        name = wanted.name if wanted else self._base
        loop = asyncio.get_running_loop()
        try:
            async with self._gate.alone(self._patience):
                began = loop.time()
                await self._take(weights, wanted)
                self.seconds = loop.time() - began
            self._patience = PATIENCE_SECONDS
            if self.merged is wanted:
                log.warning("%s is in the engine's weights now; requests were held for %.1f s", name, self.seconds)
        except TimeoutError:
            self._patience = min(MOST_PATIENCE, 2 * self._patience)
            log.warning("%s waits to be merged: requests took longer than they were waited for", name)
        finally:
            if made is not None:
                shutil.rmtree(made, ignore_errors=True)

    async def _take(self, weights: Path, wanted: Wanted | None) -> None:
        """Change the weights, and back where they are not what they should be.

        What fails on the way leaves weights that nobody knows: no request is let in again, and Serve starts another
        replica. Raises RuntimeError then.
        """
        before = self._adapters.loaded + ((self.merged.name,) if self.merged else ())
        try:
            await self._to(weights, wanted)
            if wanted is not None and (reason := await self._wrong(wanted, before)) is not None:
                self._decline(wanted.name, reason)
                await self._to(self._source, None)
        except BaseException as error:
            self._gate.shut()
            raise RuntimeError("the engine's weights could not be changed") from error

    async def _to(self, weights: Path, wanted: Wanted | None) -> None:
        await self._engine.reload(weights, wanted.name if wanted else self._base)
        self.merged = wanted
        self._adapters.forget(wanted.name if wanted else self._base)

    async def _wrong(self, wanted: Wanted, before: tuple[str, ...]) -> str | None:
        """What is wrong with merged weights: with what they say themselves, or with the base and others beside them."""
        if (reason := await self._differs(wanted.name, wanted.proofs, False)) is not None:
            return reason
        for name in dict.fromkeys((self._base, *before)):
            if name == wanted.name:
                continue
            try:
                async with self._adapters.using(name):
                    pass
            except (Problem, TunesmithError) as problem:
                return self.declined.get(wanted.name) or f"{name} cannot be loaded beside it: {problem}"
        return None

    async def _differs(self, name: str, proofs: tuple[Proof, ...], of_base: bool) -> str | None:
        pairs = []
        for proof in proofs:
            found = await self._engine.score(name, proof)
            pairs += list(zip(found, proof.base if of_base else proof.tuned, strict=True))
        off, limit = sum(abs(a - b) for a, b in pairs) / max(1, len(pairs)), TOLERANCE[self._engine.dtype]
        if off <= limit:
            return None
        return f"log-probabilities of {name} are {off:.3g} off, and {limit:g} is explained by {self._engine.dtype}"

    def _decline(self, name: str, reason: str) -> None:
        self.declined[name] = reason
        log.warning("%s is not merged into the weights: %s", name, reason)

    def to_json(self) -> dict[str, Any]:
        """What is merged, what is not and why, and how long the last change held requests."""
        name = self.merged.name if self.merged else None
        return {"merged": name, "declined": self.declined, "held_seconds": self.seconds}
