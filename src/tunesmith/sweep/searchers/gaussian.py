"""A Gaussian process on a few dozen points (Rasmussen & Williams 2006, algorithm 2.1), for losses of trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]

LENGTH, LENGTH_SPREAD = 0.7, 0.8
"""Prior of a length scale in the unit cube: a log-normal's median and its spread in natural logarithms."""

NOISE, NOISE_SPREAD = 0.02, 1.0
"""The same of the noise's standard deviation, as a share of the losses' own."""

NUM_STARTS = 3
JITTER = 1e-8


@dataclass(frozen=True)
class GaussianProcess:
    """Losses at points of the unit cube: Matern-5/2 with a length for each axis, plus a slope along the last axis.

    The last axis is how far the training had gone: losses fall along it everywhere, and by how much is learnt.
    """

    points: Array
    mean: float
    scale: float
    parameters: Array
    factor: Array
    weights: Array

    @classmethod
    def fit(cls, points: Array, losses: Array, before: Array | None = None) -> GaussianProcess:
        """Find the most likely lengths, amplitude, slope and noise under their priors. Points [n, d], losses [n].

        `before` are the parameters that were found for fewer points: it is looked near them alone.
        """
        import numpy as np
        from scipy.optimize import minimize

        mean, scale = float(np.mean(losses)), float(np.std(losses)) or 1.0
        standard = (losses - mean) / scale
        num_lengths = points.shape[1]
        start = np.concatenate([np.full(num_lengths, np.log(LENGTH)), [0.0, 0.0, np.log(NOISE)]])
        rng = np.random.default_rng(0)
        starts = [start, *(start + rng.normal(0.0, 0.5, start.size) for _ in range(NUM_STARTS - 1))]
        if before is not None:
            starts = [before]
        bounds = [(-3.0, 3.0)] * num_lengths + [(-3.0, 2.0), (-4.0, 2.0), (-7.0, 0.0)]
        found = [minimize(_surprise, one, (points, standard), method="L-BFGS-B", bounds=bounds) for one in starts]
        best = min(found, key=lambda result: float(result.fun)).x
        factor, weights = _solved(best, points, standard)
        return cls(points, mean, scale, best, factor, weights)

    def at(self, points: Array) -> tuple[Array, Array]:
        """Expected loss and its standard deviation, without noise, at points [m, d]: two arrays [m]."""
        import numpy as np
        from scipy.linalg import solve_triangular

        cross = _kernel(self.parameters, points, self.points)
        reduced = solve_triangular(self.factor, cross.T, lower=True)
        own = np.exp(2 * self.parameters[-3]) + np.exp(2 * self.parameters[-2]) * points[:, -1] ** 2
        variance = np.maximum(own - np.sum(reduced**2, axis=0), 1e-12)
        return self.mean + self.scale * (cross @ self.weights), self.scale * np.sqrt(variance)

    def with_believed(self, points: Array) -> GaussianProcess:
        """The same, sure of what it expects at these points [m, d] ("kriging believer", Ginsbourger et al. 2010)."""
        import numpy as np

        every = np.concatenate([self.points, points])
        standard = np.concatenate([self._standard(), (self.at(points)[0] - self.mean) / self.scale])
        factor, weights = _solved(self.parameters, every, standard)
        return GaussianProcess(every, self.mean, self.scale, self.parameters, factor, weights)

    def _standard(self) -> Array:
        result: Array = self.factor @ (self.factor.T @ self.weights)
        return result


def _kernel(parameters: Array, one: Array, other: Array) -> Array:
    import numpy as np

    lengths = np.exp(parameters[:-3])
    apart = (one[:, None, :] - other[None, :, :]) / lengths
    distance = np.sqrt(5 * np.sum(apart**2, axis=-1) + 1e-18)
    near = (1 + distance + distance**2 / 3) * np.exp(-distance)
    slope = np.exp(2 * parameters[-2]) * one[:, None, -1] * other[None, :, -1]
    result: Array = np.exp(2 * parameters[-3]) * near + slope
    return result


def _solved(parameters: Array, points: Array, standard: Array) -> tuple[Array, Array]:
    import numpy as np
    from scipy.linalg import cho_solve, cholesky

    noise = np.exp(2 * parameters[-1]) + JITTER
    factor = cholesky(_kernel(parameters, points, points) + noise * np.eye(len(points)), lower=True)
    return factor, cho_solve((factor, True), standard)


def _surprise(parameters: Array, points: Array, standard: Array) -> float:
    """The negative logarithm of the likelihood times the priors, up to a constant."""
    import numpy as np

    try:
        factor, weights = _solved(parameters, points, standard)
    except np.linalg.LinAlgError:
        return 1e10
    data = 0.5 * standard @ weights + np.sum(np.log(np.diag(factor)))
    prior = np.sum((parameters[:-3] - np.log(LENGTH)) ** 2) / (2 * LENGTH_SPREAD**2)
    prior += np.sum(parameters[-3:-1] ** 2) / 2
    prior += (parameters[-1] - np.log(NOISE)) ** 2 / (2 * NOISE_SPREAD**2)
    return float(data + prior)
