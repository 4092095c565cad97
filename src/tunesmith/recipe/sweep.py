"""The `sweep` section: which settings differ between trials, how they are chosen, what all of it may cost."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from tunesmith.recipe.section import Section

SWEPT = ("model", "data", "method", "train")
"""Sections whose settings may differ between trials: the others do not change what is learnt."""

_MEASURE = ("data.validation", "data.test", "data.split")
"""What a trial is measured by; were it to differ, losses could not be compared."""


class DimensionSection(Section):
    """Values of one setting: a list of them, or a range."""

    type: Literal["choice", "uniform", "loguniform", "randint"] = "choice"
    """`choice` takes one of a list, the others a number of a range: any (`uniform`), any with equal weight on each
    power of ten (`loguniform`), a whole one (`randint`)."""

    choice: tuple[Any, ...] = ()
    """The values themselves."""

    low: float | None = None
    """The least value of a range."""

    high: float | None = None
    """The greatest value of a range, itself included."""

    when: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it
    """Only trials with these values have this setting: `{method.type: lora}`, or a list of values."""

    @model_validator(mode="after")
    def _one_kind(self) -> DimensionSection:
        if self.type == "choice":
            if self.low is not None or self.high is not None:
                raise ValueError("'low' and 'high' need a type", "add `type:` uniform, loguniform or randint")
            if not self.choice:
                raise ValueError("a setting without values", "write `choice: [...]`, or `type:`, `low:` and `high:`")
            if any(isinstance(value, Mapping) for value in self.choice):
                raise ValueError("a choice between mappings", "name the settings below it one by one")
            if len({repr(value) for value in self.choice}) < len(self.choice):
                raise ValueError("a value is listed twice", "keep one of them")
            return self
        if self.choice:
            raise ValueError(f"'choice' has no effect with type: {self.type}", "leave out one of them")
        if self.low is None or self.high is None or self.low >= self.high:
            raise ValueError(f"{self.type} needs 'low' beneath 'high'", "give both")
        if self.type == "loguniform" and self.low <= 0:
            raise ValueError("loguniform needs 'low' above 0", "use uniform for a range that holds 0")
        if self.type == "randint" and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError("randint needs whole numbers", "use uniform for fractions")
        return self


class SearcherSection(Section):
    """How the next trial is chosen."""

    type: Literal["cost-aware", "tpe", "blendsearch", "cfo", "random", "grid"] = "cost-aware"
    """`cost-aware` weighs what a trial may teach against what it costs, cheap ones first (Snoek et al. 2012,
    arXiv:1206.2944; Lee et al. 2020, arXiv:2003.10870). `tpe` is Optuna's (Bergstra et al. 2011). `blendsearch` and
    `cfo` are flaml's (Wang et al. 2021; Wu et al. 2021, arXiv:2005.01571) and step from the cheapest configuration.
    `grid` takes every combination in turn and needs lists of values throughout."""


class SchedulerSection(Section):
    """When a trial is stopped before its end, by what it has reached for its dollars."""

    type: Literal["asha", "median", "none"] = "asha"
    """`asha` keeps the best of those that spent as much, at a few amounts (Li et al. 2018, arXiv:1810.05934);
    `median` stops what is worse than the median at the same amount (Golovin et al. 2017,
    doi:10.1145/3097983.3098043)."""

    reduction_factor: float = Field(2.5, gt=1)
    """`asha`: one in so many goes on, and each amount is so many times the one before."""

    rungs: int = Field(1, ge=1, le=8)
    """`asha`: at how many amounts trials are compared. The last lies one factor below what the dearest of all costs."""

    min_share: float = Field(0.1, gt=0, lt=1)
    """`median`: share of a whole trial's dollars before which nothing is stopped."""


class ObjectiveSection(Section):
    """What is best: the validation loss, and how much of it a dollar is worth."""

    usd_weight: float = Field(0.0, ge=0)
    """Nats per token of validation loss that one dollar of training must gain. 0: the best loss at any price that
    `max_usd` allows."""


def _settings(space: dict[str, DimensionSection]) -> dict[str, DimensionSection]:
    for name in space:
        if name.partition(".")[0] not in SWEPT or "." not in name:
            raise ValueError(f"'{name}' does not change what is learnt", f"name a setting of {', '.join(SWEPT)}")
        if name.startswith(_MEASURE):
            raise ValueError(f"'{name}' would change what the trials are measured by", "leave it out")
    for name, dimension in space.items():
        if missing := [other for other in dimension.when if other not in space]:
            raise ValueError(f"'{name}' waits for '{missing[0]}', which does not differ", "take it out of `when`")
        if any(space[other].when for other in dimension.when):
            raise ValueError(f"'{name}' waits for a setting that waits itself", "name the first of them in `when`")
    return space


class SweepSection(Section):
    """Many trials of one recipe under one budget: `tunesmith sweep`."""

    space: Annotated[dict[str, DimensionSection], Field(min_length=1), AfterValidator(_settings)]
    """The settings that differ, by their dotted names."""

    max_usd: float = Field(gt=0)
    """US dollars for all trials together. No trial starts that is not expected to fit into what is left."""

    trials: int = Field(16, ge=1)
    """Configurations to try at most."""

    searcher: SearcherSection = SearcherSection()
    """How the next trial is chosen."""

    scheduler: SchedulerSection = SchedulerSection()
    """When a trial is stopped early."""

    objective: ObjectiveSection = ObjectiveSection()
    """What is best."""

    max_concurrent: int = Field(1, ge=1)
    """Trials at the same time."""

    seeds: int = Field(1, ge=1)
    """Train a configuration that came to its end again, with so many values of `train.seed` in all; their mean loss
    counts."""

    seed: int = 0
    """Which configurations are drawn."""

    @property
    def budget(self) -> Decimal:
        """`max_usd`, exactly as it was written."""
        return Decimal(str(self.max_usd))

    @model_validator(mode="after")
    def _consistent(self) -> SweepSection:
        if self.seeds > 1 and "train.seed" in self.space:
            raise ValueError("'seeds' and a 'train.seed' in the space", "keep one of them")
        ranges = [name for name, dimension in self.space.items() if dimension.type != "choice"]
        if self.searcher.type == "grid" and ranges:
            raise ValueError(f"a grid has no place for the range '{ranges[0]}'", "list its values with `choice`")
        return self
