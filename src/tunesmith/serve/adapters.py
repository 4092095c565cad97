"""Which adapters an engine has in memory: loaded when first asked for, kept within its limits, let go when unused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tunesmith.serve.problem import Problem

WAIT_SECONDS = 30.0
"""How long a request waits for room, when every adapter in memory is in use."""

Load = Callable[[str], Awaitable[None]]


@dataclass
class _Slot:
    users: int = 0
    used: float = 0.0
    ready: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Adapters:
    """At most `limit` adapters by name. `load` and `unload` do it; a version never changes, so none is read again.

    `resident` is who the weights themselves are, and needs no adapter.
    """

    def __init__(self, limit: int, load: Load, unload: Load, resident: str = "") -> None:
        self._limit, self._load, self._unload = limit, load, unload
        self._resident = resident
        self._slots: dict[str, _Slot] = {}
        self._freed = asyncio.Condition()

    @property
    def loaded(self) -> tuple[str, ...]:
        """Names of those that are ready."""
        return tuple(name for name, slot in self._slots.items() if slot.ready)

    @asynccontextmanager
    async def using(self, name: str) -> AsyncIterator[None]:
        """Hold an adapter while a request is answered. Raises Problem when there is no room, or what `load` raises."""
        if name == self._resident:
            yield
            return
        slot = await self._take(name)
        try:
            async with slot.lock:
                if not slot.ready:
                    await self._load(name)
                    slot.ready = True
            yield
        finally:
            await self._give_back(name, slot)

    def forget(self, resident: str) -> None:
        """The weights are another's now, and no adapter is in memory. Not while one is in use."""
        self._resident = resident
        self._slots.clear()

    async def _take(self, name: str) -> _Slot:
        deadline = time.monotonic() + WAIT_SECONDS
        async with self._freed:
            while (slot := self._slots.get(name)) is None:
                if len(self._slots) < self._limit:
                    slot = self._slots[name] = _Slot()
                    break
                idle = [one for one, held in self._slots.items() if held.users == 0]
                if idle:
                    oldest = min(idle, key=lambda one: self._slots[one].used)
                    gone = self._slots.pop(oldest)
                    if gone.ready:
                        await self._unload(oldest)
                    continue
                try:
                    await asyncio.wait_for(self._freed.wait(), max(0.0, deadline - time.monotonic()))
                except TimeoutError:
                    raise Problem(
                        503,
                        f"all {self._limit} adapters that the engine keeps are in use",
                        "no_room",
                        headers={"Retry-After": "5"},
                    ) from None
            slot.users += 1
            return slot

    async def _give_back(self, name: str, slot: _Slot) -> None:
        async with self._freed:
            slot.users -= 1
            slot.used = time.monotonic()
            if slot.users == 0 and not slot.ready and self._slots.get(name) is slot:
                # It could not be loaded: the next request tries again.
                del self._slots[name]
            self._freed.notify_all()
