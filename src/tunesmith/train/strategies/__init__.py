"""How workers share a model: one file each. A strategy wraps the model, runs backward passes and sums over workers."""

from __future__ import annotations

from tunesmith.train.strategies.ddp import Ddp
from tunesmith.train.strategies.fsdp import Fsdp
from tunesmith.train.strategies.strategy import Strategy
from tunesmith.train.strategies.zero import Zero1, Zero2, Zero3

STRATEGIES: dict[str, type[Strategy]] = {"ddp": Ddp, "fsdp": Fsdp, "zero1": Zero1, "zero2": Zero2, "zero3": Zero3}
"""Name -> strategy."""

__all__ = ["STRATEGIES", "Strategy"]
