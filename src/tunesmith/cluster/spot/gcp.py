"""Google Cloud: instance/preempted and instance/maintenance-event of the metadata server.

https://cloud.google.com/compute/docs/instances/create-use-spot#detect-preemption
https://cloud.google.com/compute/docs/metadata/getting-live-migration-notice
"""

from __future__ import annotations

from tunesmith.cluster.spot.metadata import ask
from tunesmith.cluster.spot.notice import Notice, Unreachable

ADDRESS = "http://metadata.google.internal"
HEADERS = {"Metadata-Flavor": "Google"}
SECONDS = 2.0

PREEMPTED_SECONDS = 30.0
"""From the notice until the machine is stopped."""

MAINTENANCE_SECONDS = 60.0
"""From the notice until the machine is stopped, at least; machines with GPUs are told an hour before."""


class Gcp:
    """The service of one machine."""

    def __init__(self, address: str | None = None) -> None:
        self.address = address or ADDRESS

    def look(self, now: float) -> Notice | None:
        """A preemption, or maintenance that ends the machine, not one that moves it alive. Raises Unreachable."""
        preempted = self._get("preempted")
        if preempted == "TRUE":
            return Notice("Google preempts this instance", PREEMPTED_SECONDS)
        if preempted not in ("FALSE", None):
            raise Unreachable(f"instance/preempted says {preempted[:80]!r}, which is not understood")
        if self._get("maintenance-event") == "TERMINATE_ON_HOST_MAINTENANCE":
            return Notice("Google ends this instance for maintenance of its host", MAINTENANCE_SECONDS)
        return None

    def _get(self, name: str) -> str | None:
        return ask(f"{self.address}/computeMetadata/v1/instance/{name}", HEADERS, SECONDS)
