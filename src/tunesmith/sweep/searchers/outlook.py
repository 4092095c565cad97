"""What trials are expected to end with, learnt from all reports so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from tunesmith.sweep.encoding import Encoding
from tunesmith.sweep.searchers.tried import Tried
from tunesmith.sweep.space import Config, Space

if TYPE_CHECKING:
    from tunesmith.sweep.searchers.gaussian import Array, GaussianProcess

LEAST_SHARE = 0.01
"""Share of the training from which on losses are learnt from."""

MOST_REPORTS = 6
"""Of each trial: its last report, and earlier ones at about even distances in the logarithm of their share."""

FEWEST_TRIALS = 3
"""With fewer than this nothing is known of how losses fall."""


class Outlook:
    """Final losses of configurations, by a Gaussian process over settings, the share of the training done, and dollars.

    Both of them: what a long training reaches on its way is close to what a short one ends with, but a learning rate
    that has come down helps besides. `forecast` says what a configuration costs as a whole; only ratios of it matter.
    """

    def __init__(self, space: Space) -> None:
        self.encoding = Encoding(space)
        self.forecast: Callable[[Config], Decimal] = lambda config: Decimal(1)
        self._unit: Config | None = None
        self._learnt: tuple[int, GaussianProcess] | None = None

    def process(self, tried: Collection[Tried]) -> GaussianProcess:
        """Learn from the reports; what was learnt from as many before is taken again."""
        import numpy as np

        from tunesmith.sweep.searchers.gaussian import GaussianProcess

        reports = [(trial.config, loss, share) for trial in tried for loss, share in _some(trial)]
        count = sum(len(trial.reports) for trial in tried)
        if self._learnt is None or self._learnt[0] != count:
            points = np.array([self._point(config, share) for config, _, share in reports])
            losses = _tamed(np.array([loss for _, loss, _ in reports]))
            before = self._learnt[1].parameters if self._learnt else None
            self._learnt = count, GaussianProcess.fit(points, losses, before)
        return self._learnt[1]

    def final(self, tried: Mapping[str, Tried], name: str) -> tuple[float, float] | None:
        """The loss a trial is expected to end with and its standard deviation; None while too little is known.

        That of a trial that was trained to its end is known.
        """
        trial = tried[name]
        if trial.loss is None:
            return None
        if trial.reports[-1][2] >= 1:
            return trial.loss, 0.0
        reported = [other for other in tried.values() if other.reports]
        if len(reported) < FEWEST_TRIALS:
            return None
        mean, deviation = self.process(reported).at(self.ends([trial.config]))
        return float(mean[0]), float(deviation[0])

    def ends(self, configs: Sequence[Config]) -> Array:
        """Points [n, d] at which these configurations are trained to their end."""
        import numpy as np

        return np.array([self._point(config, 1.0) for config in configs])

    def _point(self, config: Config, share: float) -> list[float]:
        """Settings, then the share done and dollars, both by their logarithms.

        1 is all of it, and what the first configuration seen costs; 0 is a hundredth of either.
        """
        if self._unit is None:
            self._unit = config
        done = 1 - math.log(max(min(share, 1.0), LEAST_SHARE)) / math.log(LEAST_SHARE)
        dearer = float(self.forecast(config) / self.forecast(self._unit))
        return [*self.encoding.point(config), done, done - math.log(dearer) / math.log(LEAST_SHARE)]


def _some(trial: Tried) -> list[tuple[float, float]]:
    """Losses with shares, the last one first."""
    kept: list[tuple[float, float]] = []
    for loss, _, share in reversed(trial.reports):
        if not kept or share <= kept[-1][1] * 0.7:
            kept.append((loss, share))
    return kept[:MOST_REPORTS]


def _tamed(losses: Array) -> Array:
    """Bring losses of trials that ran away down to where they are merely bad."""
    import numpy as np

    low, middle = np.min(losses), np.median(losses)
    return np.minimum(losses, middle + 2 * (middle - low) + 1e-9)
