"""Azure: scheduled events of the instance metadata service that take this machine away.

https://learn.microsoft.com/azure/virtual-machines/linux/scheduled-events
"""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from typing import Any

from tunesmith.cluster.spot.metadata import ask
from tunesmith.cluster.spot.notice import Notice, Unreachable, seconds_left

ADDRESS = "http://169.254.169.254"
HEADERS = {"Metadata": "true"}
EVENTS = "/metadata/scheduledevents?api-version=2020-07-01"
NAME = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
FIRST_SECONDS, SECONDS = 120.0, 4.0
"""The first question turns the service on, which may take two minutes; a later one that hangs may not hide a notice."""

ENDS = {
    "Preempt": "Azure evicts this spot machine",
    "Terminate": "Azure deletes this machine",
    "Redeploy": "Azure moves this machine to another host, without its memory",
    "Reboot": "Azure restarts this machine",
}
"""Kind of event -> what is said of it. `Freeze`, a pause of seconds, is not among them."""

STARTED_SECONDS = 30.0
"""What is left when an event gives no time, so that it may begin at any moment: the shortest notice there is."""


class Azure:
    """The service of one machine; its events name machines, so it must know its own name."""

    def __init__(self, address: str | None = None) -> None:
        self.address = address or ADDRESS
        self._name: str | None = None
        self._patience = FIRST_SECONDS

    def look(self, now: float) -> Notice | None:
        """The first event that ends this machine. Raises Unreachable."""
        if self._name is None:
            self._name = ask(self.address + NAME, HEADERS, SECONDS, absent=())
        text = ask(self.address + EVENTS, HEADERS, self._patience, absent=())
        self._patience = SECONDS
        try:
            events: list[dict[str, Any]] = json.loads(text or "")["Events"]
            mine = [event for event in events if event["EventType"] in ENDS and self._name in event["Resources"]]
            found = [Notice(ENDS[event["EventType"]], _seconds(event, now)) for event in mine]
        except (ValueError, KeyError, TypeError):
            raise Unreachable(f"scheduled events say {(text or '')[:80]!r}, which is not understood") from None
        return min(found, key=lambda notice: notice.seconds, default=None)


def _seconds(event: dict[str, Any], now: float) -> float:
    before = event.get("NotBefore")
    return seconds_left(parsedate_to_datetime(before).timestamp(), now) if before else STARTED_SECONDS
