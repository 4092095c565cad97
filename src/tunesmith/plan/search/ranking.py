"""Every machine, market, method and way to share out the model: those that fit, ranked; those that do not, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from tunesmith.errors import RecipeError
from tunesmith.plan.hardware import Machine
from tunesmith.plan.money import Market
from tunesmith.plan.search.judge import Judge
from tunesmith.plan.search.layout import METHODS, Settings, micro_batches, sharings, with_settings
from tunesmith.plan.search.option import Option, Refusal
from tunesmith.recipe.schema import Recipe

COUNTS = (1, 2, 4)
"""Machines together. More than one only where they are full machines on a fast network."""

FULL_MACHINE = 8
"""GPUs of a machine that is worth joining with others."""


@dataclass(frozen=True)
class Found:
    """What a search found: options that fit, for each method, in no order, and refusals."""

    options: tuple[Option, ...]
    refusals: tuple[Refusal, ...]


def search(
    recipe: Recipe,
    judge: Judge,
    machines: Iterable[Machine],
    markets: Iterable[Market],
    methods: Iterable[str] = METHODS,
) -> Found:
    """All layouts worth naming: for each machine, number, market and method the fastest that fits.

    Seconds are forecast only for layouts that fit, and of those only for the first of each kind (with activations
    recomputed and without): what holds less and computes more cannot be faster.
    """
    options: list[Option] = []
    refusals: list[Refusal] = []
    wanted = tuple(markets)
    for machine in machines:
        for count in _counts(machine):
            for method in methods:
                found = list(_fitting(recipe, judge, machine, count, method, refusals))
                options += _priced(judge, machine, count, wanted, found)
    return Found(tuple(options), tuple(refusals))


def rank(options: Iterable[Option], by: str = "usd", deadline_hours: float | None = None) -> list[Option]:
    """Cheapest or fastest first; with a deadline only those that meet it. Tight ones come after those that fit well
    at the same price."""
    kept = [one for one in options if deadline_hours is None or one.total_seconds <= deadline_hours * 3600]
    if by == "hours":
        return sorted(kept, key=lambda one: (one.total_seconds, one.usd, one.verdict != "FITS"))
    return sorted(kept, key=lambda one: (one.usd, one.total_seconds, one.verdict != "FITS"))


def workers_on(machine: Machine, count: int, recipe: Recipe) -> int:
    """One for each GPU; without GPUs as many as the recipe asks for, or one for each machine."""
    if machine.accelerator is not None:
        return count * machine.num_accelerators
    return max(count, recipe.resources.most)


def _counts(machine: Machine) -> tuple[int, ...]:
    return COUNTS if machine.num_accelerators >= FULL_MACHINE else COUNTS[:1]


def _fitting(
    recipe: Recipe, judge: Judge, machine: Machine, count: int, method: str, refusals: list[Refusal]
) -> Iterator[tuple[Settings, Recipe, int]]:
    """The first settings that fit, with activations recomputed and without; or a refusal.

    Tried in an order that asks little: the leanest first, and nothing that keeps activations where recomputing them
    does not fit.
    """
    workers = workers_on(machine, count, recipe)
    on_gpu = machine.accelerator is not None

    def share(settings: Settings) -> float:
        changed = with_settings(recipe, settings, workers, on_gpu)
        return judge.share(judge.memory(changed, settings, machine, workers), machine, workers, count)

    ways, tokens = sharings(workers, on_gpu), micro_batches(recipe)
    tried = [Settings(method, *way, number, True) for way in ways for number in tokens]
    allowed = [settings for settings in tried if _reason(recipe, settings, workers, on_gpu) is None]
    if not allowed:
        reason = _reason(recipe, tried[-1], workers, on_gpu) or ""
        refusals.append(Refusal(machine.key, count, method, reason))
        return
    least = share(allowed[-1])
    if least > 1:
        reason = f"needs {least:.1f} times its memory with everything shared out and recomputed"
        refusals.append(Refusal(machine.key, count, method, reason))
        return
    recomputed = kept = False
    for lean in allowed:
        if kept or (recomputed and lean.offload != "none"):
            return  # what is offloaded travels in every step: only where nothing else fits
        if share(lean) > 1:
            continue
        rich = replace(lean, gradient_checkpointing=False)
        if share(rich) <= 1:
            kept = True
            yield rich, with_settings(recipe, rich, workers, on_gpu), workers
        if not recomputed:
            recomputed = True
            yield lean, with_settings(recipe, lean, workers, on_gpu), workers


def _reason(recipe: Recipe, settings: Settings, workers: int, on_gpu: bool) -> str | None:
    """Why settings do not go together, None where they do."""
    try:
        with_settings(recipe, settings, workers, on_gpu)
    except RecipeError as error:
        return error.what
    return None


def _priced(
    judge: Judge, machine: Machine, count: int, markets: tuple[Market, ...], found: list[tuple[Settings, Recipe, int]]
) -> Iterator[Option]:
    """The fastest of the settings, once for each market that offers the machine."""
    for market in markets:
        if machine.price(market) is not None and found:
            planned = [judge.option(changed, settings, machine, count, market, n) for settings, changed, n in found]
            yield min(planned, key=lambda one: one.total_seconds)
