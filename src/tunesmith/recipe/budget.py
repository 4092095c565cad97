"""The `budget` section: what a run may cost."""

from __future__ import annotations

from pydantic import Field

from tunesmith.recipe.section import Section


class BudgetSection(Section):
    """Limits that a run stops before, with a checkpoint, so that it can go on once they are raised."""

    max_usd: float | None = Field(None, gt=0)
    """Dollars that the run may cost in all, over all its starts."""

    max_hours: float | None = Field(None, gt=0)
    """Hours that it may hold its machines in all."""

    confirm_above_usd: float = Field(1.0, ge=0)
    """`tunesmith train` and `tunesmith run` ask before a run that is expected to cost more; `--yes` agrees."""
