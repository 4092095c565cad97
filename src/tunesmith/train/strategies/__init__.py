"""How workers share a model: one file each. A strategy wraps the model, runs backward passes and sums over workers."""

from __future__ import annotations

from tunesmith.train.strategies.ddp import Ddp
from tunesmith.train.strategies.strategy import Strategy

STRATEGIES: dict[str, type[Strategy]] = {"ddp": Ddp}
"""Name -> strategy."""
