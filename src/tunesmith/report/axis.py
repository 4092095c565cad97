"""Axes: round ticks, and numbers a person can read."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def drawable(value: float) -> bool:
    """Whether a value is a number that steps and pixels can be computed from without overflow."""
    return math.isfinite(value) and abs(value) < 1e100


@dataclass(frozen=True)
class Axis:
    """A line from data to pixels: `low` lies at `start`, `high` at `end`; `ticks` are round values between them."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """Pixel of a value, kept within ten times the axis so that no path leaves what a browser can draw."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + max(-10.0, min(10.0, share)) * (self.end - self.start)

    def labels(self) -> tuple[str, ...]:
        """Text of each tick, with as many digits as the step between ticks needs."""
        step = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else abs(self.ticks[0]) or 1.0
        largest = max(abs(tick) for tick in self.ticks)
        if largest >= 1e7 or step < 1e-5:
            return tuple(f"{tick:.3g}" for tick in self.ticks)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        if digits and abs(step * 10**digits - round(step * 10**digits)) > 1e-6:
            digits += 1
        elif not digits and abs(step - round(step)) > 1e-6:
            digits = 1
        return tuple(f"{tick + 0.0:,.{digits}f}" for tick in self.ticks)


def axis_over(
    values: Iterable[float], start: float, end: float, *, num_ticks: int = 5, whole: bool = False, snug: bool = False
) -> Axis:
    """Lay an axis over values (those that cannot be drawn are passed over).

    The ends are rounded out to ticks, or left at the data with `snug`. `whole` keeps the step at 1 or more, for counts.
    """
    drawn = [float(value) for value in values if drawable(value)] or [0.0, 1.0]
    low, high = min(drawn), max(drawn)
    if high - low <= max(abs(low), abs(high)) * 1e-12 + 1e-100:
        room = abs(high) * 0.1 if abs(high) > 1e-99 else 1.0
        low, high = low - room, high + room
        snug = False
    step = _round_step((high - low) / num_ticks)
    if whole:
        step = max(1.0, math.ceil(step))
    if not snug:
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = tuple(index * step for index in range(first, last + 1)) or (low, high)
    return Axis(low, high, start, end, ticks)


def _round_step(rough: float) -> float:
    """The least of 1, 2, 2.5, 5 times a power of ten that is not below `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next((step * power for step in STEPS if step * power >= rough * (1 - 1e-9)), 10 * power)


def readable(value: float) -> str:
    """A number with about four significant digits, thousands apart."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1e6 or abs(value) < 1e-4:
        return f"{value:.3e}"
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"
