"""How much memory a worker needs, by formula from the model's config: term by term, without torch."""

from tunesmith.plan.memory.estimate import estimate_memory
from tunesmith.plan.memory.habits import OURS, Habits
from tunesmith.plan.memory.term import MemoryEstimate, Term

__all__ = ["OURS", "Habits", "MemoryEstimate", "Term", "estimate_memory"]
