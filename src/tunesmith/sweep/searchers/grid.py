"""Every combination, in the order it is written."""

from __future__ import annotations

from decimal import Decimal

from tunesmith.sweep.searchers.base import Forecast, Searcher
from tunesmith.sweep.space import Config


class GridSearcher(Searcher):
    """Takes the combinations in turn, the last setting changing fastest; passes over those that do not fit."""

    def _choose(self, remaining_usd: Decimal, forecast: Forecast, first: Forecast) -> Config | None:
        return next((config for config in self._untried() if forecast(config) <= remaining_usd), None)
