"""What a worker needs memory for, item by item."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Where = Literal["device", "host", "disk"]
"""The GPU's memory, the machine's, or an NVMe disk. What a worker without GPU holds lies on the host."""


@dataclass(frozen=True)
class Term:
    """One thing, its size, and how that was computed."""

    what: str
    bytes: int
    formula: str
    where: Where


@dataclass(frozen=True)
class MemoryEstimate:
    """All that one worker holds at the moment at which it needs most.

    `moment` says which: `loading`, `loss`, `backward`, `step` or `saving`. What is only there at other moments is left
    out, so sums are of what is there at once; of memory beside a GPU, when there is most in that memory.
    """

    terms: tuple[Term, ...]
    moment: str

    @property
    def device_bytes(self) -> int:
        """On the GPU; 0 of a worker that has none."""
        return self._at("device")

    @property
    def host_bytes(self) -> int:
        """In the machine's memory, for each of its workers."""
        return self._at("host")

    @property
    def disk_bytes(self) -> int:
        """In `resources.offload_folder`."""
        return self._at("disk")

    def _at(self, place: Where) -> int:
        return sum(term.bytes for term in self.terms if term.where == place)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "moment": self.moment,
            "device_bytes": self.device_bytes,
            "host_bytes": self.host_bytes,
            "disk_bytes": self.disk_bytes,
            "terms": [asdict(term) for term in self.terms],
        }
