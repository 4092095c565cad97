"""What a gateway knows: names, keys, experiments, and how to reach engines; read again while it runs."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from tunesmith.errors import TunesmithError
from tunesmith.experiment.book import Book
from tunesmith.experiment.promote import move_champion
from tunesmith.experiment.referee import referee
from tunesmith.keys.keyring import Keyring
from tunesmith.monitor.traffic.log import TrafficLog
from tunesmith.registry.registry import Registry
from tunesmith.serve.access import Access, Limiter
from tunesmith.serve.catalogue import Catalogue, Target, read_catalogue
from tunesmith.serve.checks import read_checks, run_checks, state_of
from tunesmith.serve.recorder import Recorder
from tunesmith.serve.spec import GatewaySpec, engine_token
from tunesmith.serve.traffic import Traffic
from tunesmith.store.database import Database
from tunesmith.store.home import Home, find_home

if TYPE_CHECKING:
    import aiohttp

REFRESH_SECONDS = 0.5
"""How often it looks for changes: what is decided anywhere holds in every gateway within two seconds."""

REFEREE_SECONDS = 5.0
"""How often experiments are read. Every gateway does it; what one has done another does not do again."""

TIDY_SECONDS = 600.0
"""How often files of the traffic log are put together or deleted."""

MOST_TRIES = 3
"""How often a version is compared that cannot be: the engine may only be starting."""

log = logging.getLogger(__name__)


class State:
    """A gateway's own. What is read is replaced whole, never changed: a request sees one state of it."""

    def __init__(self, spec: GatewaySpec, home: Home | None = None) -> None:
        self.spec, self.token = spec, engine_token()
        self.home = home or find_home()
        self.database = Database.open(self.home.database_url)
        self._registry = Registry.open(self.home)
        self._keyring, self._book = Keyring(self.database), Book(self.database)
        self._seen: Any = None
        self._known: dict[str, Target] = {}
        self.limiter = Limiter(1 / max(1, spec.copies))
        self.recorder = Recorder(self.database, self.home.folder / "requests")
        self.traffic_log = TrafficLog(self.home, spec.traffic) if spec.traffic is not None else None
        self.trouble: str | None = None
        self.catalogue, self.traffic = Catalogue({}, {}, {}), Traffic({})
        self.access = Access((), spec.keys)
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self.refresh()

    @property
    def session(self) -> aiohttp.ClientSession:
        """Connections to engines, kept open; made in the loop that first asks."""
        import aiohttp

        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
        return self._session

    def refresh(self) -> bool:
        """Read what has changed; True where something had. Raises TunesmithError when that cannot be read."""
        seen = (self._registry.state(), self._keyring.state(), self._book.state(), state_of(self.database))
        if seen == self._seen:
            return False
        checks = read_checks(self.database) if self.spec.parity == "required" else None
        catalogue = read_catalogue(self._registry, self.spec.engines, self._names(), checks, self._known)
        traffic = Traffic.of(self._book.running())
        self.access = Access(self._keyring.every(), self.spec.keys)
        self.catalogue, self.traffic, self._seen = catalogue, traffic, seen
        return True

    def read_experiments(self) -> None:
        """Decide what follows for each experiment that runs, and do it. Raises TunesmithError."""
        for experiment in self._book.running():
            if experiment.name in self.spec.names:
                done = referee(self.database, experiment, self._promote)
                if done.revision != experiment.revision:
                    log.warning("%s: %s %s", done.id, done.stage, done.reason or done.weights)

    def watch(self) -> None:
        """Go on reading and writing, in the background of the running loop."""
        self.background(self._again(REFRESH_SECONDS, self.refresh))
        self.background(self._again(REFRESH_SECONDS, self.recorder.flush))
        self.background(self._again(REFEREE_SECONDS, self.read_experiments))
        self.background(self._check())
        if self.traffic_log is not None:
            self.traffic_log.start()
            self.background(self._again(TIDY_SECONDS, self.traffic_log.tidy))

    def background(self, work: Any) -> None:
        """Run a coroutine beside everything else; it ends with the gateway."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def num_background(self) -> int:
        """How much runs in the background."""
        return len(self._tasks)

    async def close(self) -> None:
        """End what runs in the background, and bring in what was noted."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.to_thread(self.recorder.close)
        if self.traffic_log is not None:
            await asyncio.to_thread(self.traffic_log.close)
        if self._session is not None:
            await self._session.close()

    async def _again(self, seconds: float, work: Any) -> None:
        while True:
            await asyncio.sleep(seconds * random.uniform(0.8, 1.2))
            try:
                await asyncio.to_thread(work)
                self.trouble = None
            except TunesmithError as error:
                # What was known last still holds; the next look may be luckier.
                if self.trouble is None:
                    log.warning("the registry cannot be used: %s", error.what)
                self.trouble = error.what
            except Exception:
                # A mistake of ours must not end guardrails, or what is written down, in silence.
                log.exception("what runs beside requests has failed, and is tried again")

    async def _check(self) -> None:
        """Compare versions that are new with the trainer's model, one after the other, those of aliases first.

        Of the gateways that share a home folder one does it; the others see what came of it.
        """
        tried: dict[str, int] = {}
        lock = FileLock(self.home.folder / "requests" / ".parity", timeout=0)
        while True:
            await asyncio.sleep(REFRESH_SECONDS * random.uniform(0.8, 1.2))
            with suppress(Timeout):
                lock.acquire()
            if not lock.is_locked:
                continue
            catalogue = self.catalogue
            waiting = [name for name in catalogue.unchecked if tried.get(name, 0) < MOST_TRIES]
            if not waiting:
                continue
            spec = catalogue.unchecked[waiting[0]]
            pointed = set(catalogue.aliases.values())
            batch = sorted(
                (one for one in waiting if catalogue.unchecked[one] == spec), key=lambda one: one not in pointed
            )
            for version in batch:
                tried[version] = tried.get(version, 0) + 1
            await run_checks(self.spec.address, spec, batch)
            with suppress(TunesmithError):
                await asyncio.to_thread(self.refresh)

    def _promote(self, experiment: Any, variant: str, reason: str) -> None:
        move_champion(self._registry, experiment, variant, "tunesmith", reason)

    def _names(self) -> list[str]:
        """Of the names that are offered those that are registered."""
        known = {version.name for version in self._registry.versions()}
        return [name for name in self.spec.names if name in known]
