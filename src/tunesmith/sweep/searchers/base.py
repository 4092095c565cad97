"""What all searchers share: what was tried, what came of it, and how that is kept."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from decimal import Decimal
from random import Random

from tunesmith.sweep.searchers.outlook import Outlook
from tunesmith.sweep.searchers.tried import Tried
from tunesmith.sweep.space import Config, Space, key

Forecast = Callable[[Config], Decimal]
"""US dollars that a configuration is expected to cost when trained to its end."""

MAX_DRAWS = 200
"""As many configurations are drawn before a searcher says that there is nothing left that fits."""


class Searcher(ABC):
    """Chooses configurations; never one that is expected to cost more than what is left."""

    def __init__(self, space: Space, trials: int, seed: int = 0) -> None:
        self.space = space
        self.trials = trials
        self.seed = seed
        self.outlook = Outlook(space)
        self.tried: dict[str, Tried] = {}

    def suggest(
        self, trial_id: str, remaining_usd: Decimal, forecast: Forecast, first: Forecast | None = None
    ) -> Config | None:
        """The configuration of a new trial; None when no more are wanted, or none fits into what is left.

        `first` is what a configuration is expected to cost until it is decided whether it goes on: its whole training,
        where it is not given.
        When a running trial ends for less than it was expected to cost, more may fit. Asked again for a trial it
        knows, a searcher answers as before.
        """
        if trial_id in self.tried:
            return self.tried[trial_id].config
        if len({key(tried.config) for tried in self.tried.values()}) >= self.trials:
            return None
        config = self._choose(remaining_usd, forecast, first or forecast)
        if config is not None:
            self.tried[trial_id] = Tried(config)
        return config

    def tell(self, trial_id: str, value: float, usd: Decimal, fidelity: float, *, ended: bool = True) -> None:
        """Report a trial: its validation loss, its dollars so far, the share (0 to 1) of its whole training done.

        Earlier reports, with `ended=False`, teach how losses fall. A loss that is no number stands for a trial that
        broke: it is not tried again.
        """
        tried = self.tried[trial_id]
        if math.isfinite(value):
            tried.reports.append((value, float(usd), fidelity))
        tried.ended = ended

    def again(self, trial_id: str) -> None:
        """A trial that had been stopped goes on."""
        self.tried[trial_id].ended = False

    @abstractmethod
    def _choose(self, remaining_usd: Decimal, forecast: Forecast, first: Forecast) -> Config | None: ...

    def _rng(self) -> Random:
        """Depends on the seed and on how many were tried: a sweep that goes on draws as one never broken off."""
        return Random(f"{self.seed}:{len(self.tried)}")

    def _untried(self) -> list[Config]:
        """What of a finite space was not tried, in the order of the grid. Raises TypeError for a space with ranges."""
        known = {key(tried.config) for tried in self.tried.values()}
        return [config for config in self.space.grid() if key(config) not in known]

    def _draws(self, rng: Random, count: int = MAX_DRAWS) -> list[Config]:
        """Configurations not tried yet, in random order: all that are left of a finite space, or so many draws."""
        if self.space.size is not None:
            left = self._untried()
            rng.shuffle(left)
            return left
        known = {key(tried.config) for tried in self.tried.values()}
        drawn = {key(config): config for config in (self.space.sample(rng) for _ in range(count))}
        return [config for name, config in drawn.items() if name not in known]
