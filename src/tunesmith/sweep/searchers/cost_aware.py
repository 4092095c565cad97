"""What a trial may teach for each dollar it costs: expected improvement per cost, cheap trials first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tunesmith.sweep.searchers.base import Forecast, Searcher
from tunesmith.sweep.searchers.tried import Tried
from tunesmith.sweep.space import Config, Space

if TYPE_CHECKING:
    from tunesmith.sweep.searchers.gaussian import Array, GaussianProcess

CANDIDATES = 400
"""As many draws of a space with ranges are compared."""


@dataclass(frozen=True)
class Candidate:
    """A configuration with its US dollars until it is decided whether it goes on, and as a whole."""

    config: Config
    first: float
    whole: float


class CostAwareSearcher(Searcher):
    """Expected improvement (Mockus 1978) divided by expected dollars to a power that falls from 1 to 0.

    Dollars are those until it is decided whether a trial goes on: with a scheduler that stops early, long trainings are
    as cheap to try as short ones.
    Per dollar as in Snoek et al. 2012, section 3.2 (arXiv:1206.2944); the power is the share of the budget that is
    left, and the first trials are spread over the cheap half of the space, as in Lee et al. 2020 (arXiv:2003.10870):
    what is learnt from cheap trials decides which dear ones are worth it. Trials stopped early teach through a Gaussian
    process that knows how far each had gone.
    """

    def __init__(self, space: Space, trials: int, budget: Decimal, seed: int = 0, usd_weight: float = 0.0) -> None:
        super().__init__(space, trials, seed)
        self.usd_weight = usd_weight
        self.budget = budget

    def _choose(self, remaining_usd: Decimal, forecast: Forecast, first: Forecast) -> Config | None:
        drawn = self._draws(self._rng(), CANDIDATES)
        whole = [(config, float(forecast(config))) for config in drawn]
        fitting = [Candidate(c, float(first(c)), usd) for c, usd in whole if usd <= float(remaining_usd)]
        if not fitting:
            return None
        spread = min(2 + len(self.space.dimensions) // 2, max(2, self.trials // 3))
        known = [tried for tried in self.tried.values() if tried.reports]
        if len(self.tried) < spread or len(known) < 2:
            return self._spread(fitting)
        share_left = float(remaining_usd / self.budget)
        return self._best_value(fitting, share_left)

    def _spread(self, fitting: Sequence[Candidate]) -> Config:
        """The one of the cheap half that lies furthest from all that was tried; the cheapest of all to begin with."""
        middle = sorted(candidate.first for candidate in fitting)[(len(fitting) - 1) // 2]
        cheap = [candidate for candidate in fitting if candidate.first <= middle]
        if not self.tried:
            return min(cheap, key=lambda candidate: candidate.whole).config
        point = self.outlook.encoding.point
        known = [point(tried.config) for tried in self.tried.values()]
        return max(cheap, key=lambda one: min(math.dist(point(one.config), other) for other in known)).config

    def _best_value(self, fitting: Sequence[Candidate], share_left: float) -> Config:
        import numpy as np
        from scipy.stats import norm

        process = self._process()
        mean, deviation = process.at(self.outlook.ends([candidate.config for candidate in fitting]))
        mean = mean + self.usd_weight * np.array([candidate.whole for candidate in fitting])
        gap = (self._incumbent(process) - mean) / deviation
        # In logarithms, so that candidates far from any hope are still told apart.
        improvement = np.log(deviation) + _log_improvement(gap, norm)
        price = np.log(np.maximum([candidate.first for candidate in fitting], 1e-12))
        return fitting[int(np.argmax(improvement - share_left * price))].config

    def _process(self) -> GaussianProcess:
        """Learn from all reports; a trial still running counts as if it would end as expected from what is known."""
        process = self.outlook.process([tried for tried in self.tried.values() if tried.reports])
        running = [tried.config for tried in self.tried.values() if not tried.ended]
        return process.with_believed(self.outlook.ends(running)) if running else process

    def _incumbent(self, process: GaussianProcess) -> float:
        """The best that a whole trial reached; before there is one, the best that is expected of those begun."""
        whole = [tried for tried in self.tried.values() if tried.reports and tried.reports[-1][2] >= 1]
        if whole:
            return min(_worth(tried, self.usd_weight) for tried in whole)
        begun = [tried.config for tried in self.tried.values() if tried.reports]
        return float(process.at(self.outlook.ends(begun))[0].min())


def _worth(tried: Tried, usd_weight: float) -> float:
    return (tried.loss or 0.0) + usd_weight * tried.usd


def _log_improvement(gap: Array, norm: Any) -> Array:
    """Logarithm of the expected improvement of a standard normal over `gap`; by its tail where that underflows."""
    import numpy as np

    plain = gap * norm.cdf(gap) + norm.pdf(gap)
    tail = norm.logpdf(gap) - 2 * np.log(np.maximum(np.abs(gap), 1.0))
    return np.where(gap > -6, np.log(np.maximum(plain, 1e-300)), tail)
