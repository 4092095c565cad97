"""Beside a run on a cluster: tells when workers wait for room or hang, gives up in time, makes room for more."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tunesmith.errors import TrainError
from tunesmith.recipe.resources import ResourcesSection
from tunesmith.train.heartbeat import EVERY, WORKERS, Sign, forget, signs, who_hung
from tunesmith.train.job import RESIZE, TrainJob
from tunesmith.train.room import what_is_missing, workers_that_fit

PATIENCE = 10.0
"""Seconds without a sign of life before the user hears of it."""

STARTING_MINUTES = 10.0
"""How long workers may take to start when they have their places."""

RESIZE_SECONDS = 20.0
"""Seconds between looks for room for more workers, which must be there twice, and that workers train at least."""

AGAIN_SECONDS = 60.0
"""Until it is tried again when Ray did not use the room; each time twice as long."""


class View(Protocol):
    """What is asked of the cluster."""

    def nodes(self) -> list[dict[str, Any]]:
        """As `ray.nodes()`."""

    def free(self) -> list[Mapping[str, float]]:
        """Resources in nobody's use, node by node."""

    def placed(self) -> bool:
        """Whether workers of this run have their places."""


class Lookout:
    """Call `look` a few times a second. `need` are the resources of one worker."""

    def __init__(
        self,
        job: TrainJob,
        resources: ResourcesSection,
        need: Mapping[str, float],
        view: View,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.job, self.resources, self.need, self.view, self.tell, self.clock = (
            job, resources, need, view, tell, clock,
        )  # fmt: skip
        forget(job.folder)
        (job.folder / RESIZE).unlink(missing_ok=True)
        self._last: dict[int, float] = {}
        self._alive = self._looked = self._sized = clock()
        self._told: str | None = None
        self._world_size = 0
        self._room: frozenset[str] | None = None
        self._asked: tuple[int, frozenset[str]] | None = None
        self._pause, self._again = AGAIN_SECONDS, 0.0

    def look(self) -> None:
        """Look once. Raises TrainError when the run can not go on."""
        now = self.clock()
        if now - self._looked < EVERY:
            return
        self._looked = now
        found = signs(self.job.folder)
        self._say(who_hung(found))
        told = {sign.rank: sign.at for sign in found}
        if found and told != self._last:
            self._last, self._alive = told, now
            self._more(found, now)
        elif now - self._alive > PATIENCE:
            self._without_life(now - self._alive)

    def _say(self, text: str | None) -> None:
        if text is not None and text != self._told:
            stacks = f" (stacks: {self.job.folder / WORKERS})" if "hung" in text else ""
            self.tell(text + stacks)
        self._told = text or self._told

    def _without_life(self, seconds: float) -> None:
        missing = what_is_missing(self.view.nodes(), self.need, self.resources.fewest)
        limit = self.resources.wait_minutes * 60
        if missing is None and self.view.placed():
            missing, limit = "workers have their places and do not start", max(limit, STARTING_MINUTES * 60)
        else:
            missing = missing or "the nodes that the workers fit on are in use by others"
            self._say(f"waiting for room: {missing}")
        if seconds > limit:
            raise TrainError(
                missing,
                where="resources",
                fix="lower resources.workers or what each of them gets, add nodes, or raise resources.wait_minutes; "
                "the run goes on from its last checkpoint",
            )

    def _more(self, found: list[Sign], now: float) -> None:
        """Ask for a checkpoint and a restart when more workers fit than there are."""
        world_size = found[0].world_size
        if world_size != self._world_size:
            self._world_size, self._sized, self._room = world_size, now, None
        if world_size >= self.resources.most or now - self._sized < RESIZE_SECONDS or found[0].step < 1:
            return
        self._sized = now
        before, self._room = self._room, None
        if not workers_that_fit(self.view.free(), self.need):
            return
        self._room = frozenset(node["NodeID"] for node in self.view.nodes() if node.get("Alive"))
        if self._room != before:
            return  # the part of Ray that places workers hears of new nodes some seconds later
        if self._asked != (world_size, self._room):
            self._asked, self._pause = (world_size, self._room), AGAIN_SECONDS
        elif now < self._again:
            return  # Ray did not use them, and may have its reasons
        else:
            self._pause *= 2
        self._again = now + self._pause
        self.tell(f"there is room for more than {world_size} {'worker' if world_size == 1 else 'workers'}: restarting")
        (self.job.folder / RESIZE).touch()
