"""What a trial costs: the forecast of its time at the price of what it holds, corrected by the trials before it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from statistics import median
from typing import Any

from tunesmith.plan.hardware import Machine, Placement
from tunesmith.plan.money import SECONDS_PER_HOUR
from tunesmith.plan.shape import ModelShape
from tunesmith.plan.time import Efficiency, forecast_time, workload_of
from tunesmith.recipe.schema import Recipe
from tunesmith.sweep.space import Config, Space, key

LEAST_SHARE = 0.05
"""Share of a training from which on its dollars say what the whole will cost: its start counts little by then."""


class Costs:
    """Dollars of configurations on a machine of which one trial holds the `share`, at `usd_per_hour` for all of it.

    `values` are the recipe's own, `manifest` that of its dataset version, which stands for those of all trials.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        space: Space,
        shape: ModelShape,
        manifest: Mapping[str, Any],
        efficiency: Efficiency,
        machine: Machine,
        usd_per_hour: Decimal,
        share: float,
    ) -> None:
        self.values, self.space, self.shape, self.manifest = values, space, shape, manifest
        self.efficiency, self.machine = efficiency, machine
        self.usd_per_second = usd_per_hour * Decimal(str(share)) / SECONDS_PER_HOUR
        self.forecasts: dict[str, Decimal] = {}
        self.ratios: dict[str, Decimal] = {}

    def whole(self, config: Config) -> Decimal:
        """Expected US dollars of a configuration trained to its end."""
        return self._forecast(config) * (median(self.ratios.values()) if self.ratios else Decimal(1))

    def learn(self, config: Config, usd: Decimal, share: float) -> None:
        """A trial had cost so much when this share (0 to 1) of its training was done."""
        if share >= LEAST_SHARE and (forecast := self._forecast(config)):
            self.ratios[key(config)] = usd / Decimal(str(share)) / forecast

    def _forecast(self, config: Config) -> Decimal:
        name = key(config)
        if name not in self.forecasts:
            recipe = Recipe.model_validate(self.space.apply(self.values, config))
            placement = Placement(self.machine, 1, self.machine.prices[0].market)
            time = forecast_time(self.shape, recipe, placement, workload_of(self.manifest, recipe), self.efficiency)
            self.forecasts[name] = Decimal(str(time.training_seconds)) * self.usd_per_second
        return self.forecasts[name]
