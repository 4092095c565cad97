"""BlendSearch (Wang et al. 2021, openreview VbLH04pRA3) and CFO (Wu et al. 2021, arXiv:2005.01571) of `flaml`."""

from __future__ import annotations

import math
import warnings
from decimal import Decimal
from typing import Any

from tunesmith.sweep.searchers.base import Forecast, Searcher
from tunesmith.sweep.space import Config, Space, ends, key

ASKS = 50
"""As often it is asked for something new that fits before the nearest draw that fits is taken."""

FEW = 128
"""Configurations among which the cheapest is looked for."""


class FrugalSearcher(Searcher):
    """Steps from the cheapest configuration to where losses fall; BlendSearch jumps besides, CFO (`local`) does not.

    flaml keeps its state in memory: a sweep that goes on after a kill steps on from the best configuration it knows.
    A trial that rests counts with the loss it is expected to end with.
    """

    def __init__(self, space: Space, trials: int, seed: int = 0, local: bool = False) -> None:
        super().__init__(space, trials, seed)
        self.local = local
        self._search: Any = None
        self._asked: dict[str, tuple[str, dict[str, Any]]] = {}

    def tell(self, trial_id: str, value: float, usd: Decimal, fidelity: float, *, ended: bool = True) -> None:
        super().tell(trial_id, value, usd, fidelity, ended=ended)
        asked = self._asked.pop(key(self.tried[trial_id].config), None) if ended else None
        if asked is None:
            return
        known = self.outlook.final(self.tried, trial_id)
        loss = known[0] if known else value
        name, found = asked
        if math.isfinite(loss):
            self._search.on_trial_complete(name, {"loss": loss, "config": found})
        else:
            self._search.on_trial_complete(name, error=True)

    def _choose(self, remaining_usd: Decimal, forecast: Forecast, first: Forecast) -> Config | None:
        if self._search is None:
            self._search = self._begin(forecast)
        known = {key(tried.config) for tried in self.tried.values()}
        for number in range(ASKS):
            name = f"{len(self.tried)}-{number}"
            found = self._search.suggest(name)
            if found is None:  # its way to say: ask again
                continue
            config = self._config(found)
            if key(config) not in known and forecast(config) <= remaining_usd:
                self._asked[key(config)] = name, found
                return config
            self._search.on_trial_complete(name, error=True)
        return next((config for config in self._draws(self._rng()) if forecast(config) <= remaining_usd), None)

    def _begin(self, forecast: Forecast) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parts of flaml that are not wanted here
            from flaml.tune.searcher.blendsearch import CFO, BlendSearch
        if not self.local:
            import optuna

            optuna.logging.set_verbosity(optuna.logging.ERROR)
        ended = [tried for tried in self.tried.values() if tried.loss is not None]
        return (CFO if self.local else BlendSearch)(
            metric="loss",
            mode="min",
            space={name: self._domain(name) for name in self.space.dimensions},
            low_cost_partial_config=self._cheapest(forecast),
            points_to_evaluate=[self._point(tried.config) for tried in ended] or None,
            evaluated_rewards=[tried.loss for tried in ended] or None,
            seed=self.seed + 20,
        )

    def _domain(self, name: str) -> Any:
        """Lists are asked for by position, in the order they are written."""
        from ray import tune

        dimension = self.space.dimensions[name]
        if dimension.type == "choice":
            return tune.choice(list(range(len(dimension.choice))))
        low, high = float(dimension.low or 0.0), float(dimension.high or 0.0)
        if dimension.type == "randint":
            return tune.randint(int(low), int(high) + 1)
        return tune.loguniform(low, high) if dimension.type == "loguniform" else tune.uniform(low, high)

    def _cheapest(self, forecast: Forecast) -> dict[str, Any]:
        """Of the cheapest configuration the settings that make it so."""
        cheapest = min(self.space.some(FEW), key=forecast)
        costs = {
            name: {forecast({**cheapest, name: value}) for value in ends(self.space.dimensions[name])}
            for name in cheapest
        }
        return self._point({name: value for name, value in cheapest.items() if len(costs[name]) > 1})

    def _point(self, config: Config) -> dict[str, Any]:
        choices = {name: self.space.dimensions[name].choice for name in config}
        return {name: choices[name].index(value) if choices[name] else value for name, value in config.items()}

    def _config(self, found: dict[str, Any]) -> Config:
        """What flaml found, as a recipe has it; settings that wait for another value of another one are left out."""
        config: Config = {}
        for name, dimension in self.space.dimensions.items():
            if not self.space.active(name, config):
                continue
            value = found[name]
            if dimension.type == "choice":
                config[name] = dimension.choice[int(value)]
            else:
                config[name] = int(value) if dimension.type == "randint" else float(f"{float(value):.4g}")
        return config
