"""Who sees which variant: by a hash of the user, the same every time, and moved only as far as weights move."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tunesmith.errors import StoreError

SLOTS = 10_000
"""Parts that users fall into: weights are kept to a hundredth of a per cent."""


def slot_of(salt: str, unit: str) -> int:
    """The slot of a user: uniform, and for another salt independent of it (SHA-256)."""
    digest = hashlib.sha256(f"{len(salt)}:{salt}{unit}".encode()).digest()
    return int.from_bytes(digest[:8], "big") * SLOTS >> 64


@dataclass(frozen=True)
class Allocation:
    """Which variant each slot belongs to, as runs `(variant, number of slots)` in order of the slots."""

    runs: tuple[tuple[str, int], ...]

    def variant(self, slot: int) -> str:
        """The variant of a slot."""
        for name, length in self.runs:
            if slot < length:
                return name
            slot -= length
        raise IndexError("slots are numbered from 0 to 9,999")

    def counts(self) -> dict[str, int]:
        """Slots by variant."""
        found: dict[str, int] = {}
        for name, length in self.runs:
            found[name] = found.get(name, 0) + length
        return found

    def to_json(self) -> list[list[str | int]]:
        """Plain values."""
        return [[name, length] for name, length in self.runs]

    @classmethod
    def from_json(cls, values: Sequence[Sequence[str | int]]) -> Allocation:
        """The allocation that `to_json` wrote."""
        return cls(tuple((str(name), int(length)) for name, length in values))


def allocate(weights: Mapping[str, float], before: Allocation | None = None) -> Allocation:
    """Slots by weight, the first variant being the control. From `before` only as many move as must: a variant that
    gains keeps everybody it had, one that loses gives up first what it gained last.

    Weights need not add up to 1. Raises StoreError for weights that are negative, not finite, or all 0.
    """
    wanted = _targets(weights)
    if before is None:
        return Allocation(tuple((name, number) for name, number in wanted.items() if number))
    slots = [name for name, length in before.runs for _ in range(length)]
    control = next(iter(weights))
    have = before.counts()
    freed = []
    for name in have:
        held = [slot for slot, owner in enumerate(slots) if owner == name]
        surplus = max(0, have[name] - wanted.get(name, 0))
        # The control gives up its highest, every other its lowest: what was gained last goes first.
        freed += held[len(held) - surplus :] if name == control else held[:surplus]
    needs = [name for name, number in wanted.items() for _ in range(number - have.get(name, 0))]
    # The lowest of them to those listed first: what grows takes the highest.
    for slot, name in zip(sorted(freed), needs, strict=True):
        slots[slot] = name
    return Allocation(_runs(slots))


def _targets(weights: Mapping[str, float]) -> dict[str, int]:
    """Whole slots that add up (largest remainders)."""
    total = sum(weights.values())
    if not weights or not all(0 <= weight < float("inf") for weight in weights.values()) or not total > 0:
        raise StoreError(
            f"these are no weights: {dict(weights)}", where="weights", fix="give each variant 0 or more, and not all 0"
        )
    exact = {name: SLOTS * weight / total for name, weight in weights.items()}
    found = {name: int(share) for name, share in exact.items()}
    rest = sorted(exact, key=lambda name: (found[name] - exact[name], name))
    for name in rest[: SLOTS - sum(found.values())]:
        found[name] += 1
    return found


def _runs(slots: Sequence[str]) -> tuple[tuple[str, int], ...]:
    runs: list[tuple[str, int]] = []
    for name in slots:
        if runs and runs[-1][0] == name:
            runs[-1] = (name, runs[-1][1] + 1)
        else:
            runs.append((name, 1))
    return tuple(runs)
