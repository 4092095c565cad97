"""Requests pass together; a change to what they all stand on waits until none is inside, and they wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """For one event loop. Nobody is turned away: a request that finds it closed waits until it opens."""

    def __init__(self) -> None:
        self._inside, self._shut = 0, False
        self._open, self._empty = asyncio.Event(), asyncio.Event()
        self._open.set()
        self._empty.set()

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Be inside with others."""
        while not self._open.is_set():
            await self._open.wait()
        self._inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()

    @asynccontextmanager
    async def alone(self, seconds: float) -> AsyncIterator[None]:
        """Be inside alone, one caller at a time. Raises TimeoutError, and lets requests in again, when those that are
        inside have not left within so many seconds."""
        self._open.clear()
        try:
            await asyncio.wait_for(self._empty.wait(), seconds)
            yield
        finally:
            if not self._shut:
                self._open.set()

    @property
    def is_shut(self) -> bool:
        """Whether nobody is let in any more."""
        return self._shut

    def shut(self) -> None:
        """Let nobody in any more."""
        self._shut = True
        self._open.clear()
