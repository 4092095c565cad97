"""One layout judged: memory and seconds estimated, dollars counted. Estimates that recur are made once."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from tunesmith.plan.hardware import Machine, Placement
from tunesmith.plan.memory import MemoryEstimate, estimate_memory
from tunesmith.plan.money import SECONDS_PER_HOUR, Market, Price
from tunesmith.plan.search.layout import Settings
from tunesmith.plan.search.option import Held, Option, share_of_memory, verdict_of
from tunesmith.plan.search.spot import expected_interruption_seconds
from tunesmith.plan.search.travel import offload_seconds
from tunesmith.plan.shape import ModelShape
from tunesmith.plan.time import Efficiency, TimeForecast, Workload, forecast_time
from tunesmith.recipe.schema import Recipe


@dataclass
class Judge:
    """What all layouts of one plan have in common, and what has been estimated for them so far."""

    shape: ModelShape
    workload: Workload
    efficiency: Efficiency
    _memory: dict[tuple[Settings, int, bool, str], MemoryEstimate] = field(default_factory=dict)

    @property
    def label_share(self) -> float:
        """Of the training tokens, those that are learnt."""
        return self.workload.train.labels / max(1.0, self.workload.train.tokens)

    def memory(self, recipe: Recipe, settings: Settings, machine: Machine, workers: int) -> MemoryEstimate:
        """Of one worker."""
        on_gpu = machine.accelerator is not None
        adapted = self._in_type_of(recipe, machine)
        key = (settings, workers, on_gpu, adapted.base.dtype)
        if key not in self._memory:
            self._memory[key] = estimate_memory(self.shape, adapted, workers, on_gpu, self.label_share)
        return self._memory[key]

    def share(self, memory: MemoryEstimate, machine: Machine, workers: int, count: int) -> float:
        """Of the machine's memory that this takes."""
        return share_of_memory(*self._amounts(memory, machine, workers, count))

    def option(
        self, recipe: Recipe, settings: Settings, machine: Machine, count: int, market: Market, workers: int,
        price: Price | None = None,
    ) -> Option:  # fmt: skip
        """The layout planned. Raises LookupError where the machine is not offered in that market."""
        found = price or machine.price(market)
        if found is None:
            raise LookupError(f"{machine.key} has no {market} price")
        memory = self.memory(recipe, settings, machine, workers)
        amounts = self._amounts(memory, machine, workers, count)
        placement = Placement(machine, count, market)
        typed = self._in_type_of(recipe, machine)
        time = forecast_time(self.shape, typed, placement, self.workload, self.efficiency)
        parts = {**time.parts, "offload": offload_seconds(self.shape, typed, placement, self.workload, time.rates)}
        lost = 0.0
        if market == "spot":
            lost = expected_interruption_seconds(parts, recipe.train, time.steps, count, machine.interruptions)
        seconds = sum(parts.values()) + lost
        return Option(
            machine=machine.key,
            accelerator=machine.accelerator.name if machine.accelerator else None,
            num_accelerators=machine.num_accelerators,
            count=count,
            market=market,
            workers=workers,
            settings=settings,
            verdict=verdict_of(share_of_memory(*amounts)),
            memory=tuple(Held(term.what, int(term.bytes), term.where, term.formula) for term in memory.terms),
            device_bytes=amounts[0],
            device_limit=amounts[1],
            host_bytes=amounts[2],
            host_limit=amounts[3],
            seconds=parts,
            interruption_seconds=lost,
            steps=time.steps,
            tokens_per_second=time.tokens_per_second,
            rates=_rests_on(time),
            price=found,
            usd=_dollars(found, count, seconds),
        )

    def _amounts(self, memory: MemoryEstimate, machine: Machine, workers: int, count: int) -> tuple[int, int, int, int]:
        together = -(-workers // count)
        device = memory.device_bytes if machine.accelerator else 0
        limit = machine.accelerator.memory_bytes if machine.accelerator else 0
        return int(device), limit, int(memory.host_bytes * together), machine.memory_bytes

    def _in_type_of(self, recipe: Recipe, machine: Machine) -> Recipe:
        """A type left open is bfloat16, where a GPU has it, else float32."""
        if recipe.base.dtype != "auto" or machine.accelerator is None:
            return recipe
        computes_in = "bfloat16" if machine.accelerator.bfloat16 else "float32"
        return recipe.model_copy(update={"train": recipe.train.model_copy(update={"precision": computes_in})})


def _rests_on(time: TimeForecast) -> str:
    return f"{time.rates.origin} ({time.rates.date.isoformat()}): {time.rates.source}"


def _dollars(price: Price, count: int, seconds: float) -> Decimal:
    if seconds == float("inf"):
        return Decimal("Infinity")
    return (price.usd_per_hour * count * Decimal(str(seconds)) / SECONDS_PER_HOUR).quantize(Decimal("0.000001"))
