"""Configurations drawn blindly, each once (Bergstra & Bengio 2012, JMLR 13)."""

from __future__ import annotations

from decimal import Decimal

from tunesmith.sweep.searchers.base import Forecast, Searcher
from tunesmith.sweep.space import Config


class RandomSearcher(Searcher):
    """Draws until one fits into what is left."""

    def _choose(self, remaining_usd: Decimal, forecast: Forecast, first: Forecast) -> Config | None:
        return next((config for config in self._draws(self._rng()) if forecast(config) <= remaining_usd), None)
