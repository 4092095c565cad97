"""Searchers: each chooses the next configuration from what came of those before."""

from __future__ import annotations

from tunesmith.recipe.sweep import SweepSection
from tunesmith.sweep.searchers.base import Forecast, Searcher
from tunesmith.sweep.searchers.cost_aware import CostAwareSearcher
from tunesmith.sweep.searchers.frugal import FrugalSearcher
from tunesmith.sweep.searchers.grid import GridSearcher
from tunesmith.sweep.searchers.random import RandomSearcher
from tunesmith.sweep.searchers.tpe import TpeSearcher
from tunesmith.sweep.searchers.tried import Tried
from tunesmith.sweep.space import Space

PLAIN: dict[str, type[Searcher]] = {
    "tpe": TpeSearcher,
    "random": RandomSearcher,
    "grid": GridSearcher,
}
"""Those that need nothing but the space, how many and a seed."""

__all__ = ["Forecast", "Searcher", "Tried", "searcher_of"]


def searcher_of(section: SweepSection) -> Searcher:
    """The searcher that a recipe's `sweep` section asks for."""
    space = Space.from_section(section)
    if section.searcher.type in ("blendsearch", "cfo"):
        return FrugalSearcher(space, section.trials, section.seed, section.searcher.type == "cfo")
    if section.searcher.type == "cost-aware":
        return CostAwareSearcher(space, section.trials, section.budget, section.seed, section.objective.usd_weight)
    return PLAIN[section.searcher.type](space, section.trials, section.seed)
