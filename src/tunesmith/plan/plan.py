"""The plan of a recipe: what it holds, takes and costs as it stands, and every other way that is worth a look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tunesmith.errors import PlanError
from tunesmith.plan.catalog import Catalog
from tunesmith.plan.hardware import Machine
from tunesmith.plan.money import Market
from tunesmith.plan.price import machine_of, market_of, price_of
from tunesmith.plan.prompt import PromptOrTune, weigh
from tunesmith.plan.rows import find_rows
from tunesmith.plan.search import (
    METHODS,
    Judge,
    Option,
    Refusal,
    Remedy,
    rank,
    remedies,
    search,
    settings_of,
    with_settings,
    workers_on,
)
from tunesmith.plan.sizes import find_sizes
from tunesmith.plan.time import load_efficiency
from tunesmith.recipe.load import LoadedRecipe
from tunesmith.recipe.schema import Recipe
from tunesmith.store.home import Home

MARKETS: tuple[Market, ...] = ("on-demand", "spot", "owned")
KEPT = 20
"""Ranked options that a plan keeps; the others cost more or take longer."""


@dataclass(frozen=True)
class Plan:
    """What `tunesmith plan` knows of a recipe.

    `written` is the recipe as it stands, on the first machine that was asked for, else on the one that it names itself,
    else on this one.
    `ranked` are the best options of its method, `methods` the best of each method; `remedies` what makes it fit.
    """

    name: str
    source: str
    parameters: int
    shape_from: str
    rows_from: str
    tokens: float
    by: str
    written: Option
    ranked: tuple[Option, ...]
    methods: dict[str, Option | None]
    refusals: tuple[Refusal, ...]
    remedies: tuple[Remedy, ...]
    prompt: PromptOrTune | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = {name: getattr(self, name) for name in PLAIN}
        return {
            **plain,
            "written": self.written.to_json(),
            "ranked": [one.to_json() for one in self.ranked],
            "methods": {name: one.to_json() if one else None for name, one in self.methods.items()},
            "refusals": [one.to_json() for one in self.refusals],
            "remedies": [one.to_json() for one in self.remedies],
            "prompt": self.prompt.to_json() if self.prompt else None,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Plan:
        """The plan that `to_json` wrote."""
        return cls(
            **{name: values[name] for name in PLAIN},
            written=Option.from_json(values["written"]),
            ranked=tuple(Option.from_json(one) for one in values["ranked"]),
            methods={name: Option.from_json(one) if one else None for name, one in values["methods"].items()},
            refusals=tuple(Refusal(**one) for one in values["refusals"]),
            remedies=tuple(Remedy.from_json(one) for one in values["remedies"]),
            prompt=PromptOrTune.from_json(values["prompt"]) if values["prompt"] else None,
        )


PLAIN = ("name", "source", "parameters", "shape_from", "rows_from", "tokens", "by")
"""Fields of a plan that are kept as they are."""


def plan_recipe(
    loaded: LoadedRecipe,
    home: Home,
    catalog: Catalog,
    machines: Sequence[str] = (),
    market: Market | None = None,
    by: str = "usd",
    deadline_hours: float | None = None,
    examples: int | None = None,
    tokens_per_example: float | None = None,
) -> Plan:
    """Plan a recipe on the machines named, or on all of the catalog and this one.

    Raises PlanError for a machine or a number of rows that is not known and for a deadline that nothing meets,
    ModelError for a model whose shape cannot be had, RecipeError for settings that do not go together.
    """
    recipe = loaded.recipe
    sizes = find_sizes(loaded)
    rows = find_rows(loaded, home, examples, tokens_per_example)
    judge = Judge(sizes.shape, rows.workload, load_efficiency(home.folder))
    chosen = [catalog.machine(key) for key in machines]
    if chosen:
        written = plan_written(recipe, judge, chosen[0], market)
    else:
        price_of(recipe.resources, catalog)  # a machine without a price in the recipe's market is told of
        named = machine_of(recipe.resources, catalog)
        written = plan_written(recipe, judge, named, market or market_of(recipe.resources))
    markets = (market,) if market else MARKETS
    found = search(recipe, judge, chosen or [catalog.here, *catalog.machines], markets)
    own = [one for one in found.options if one.settings.method == recipe.method.type]
    ranked = rank(own, by, deadline_hours)
    if own and not ranked:
        fastest = rank(own, "hours")[0]
        raise PlanError(
            f"nothing is done in {deadline_hours:g} hours",
            where="--deadline",
            fix=f"the fastest takes {fastest.total_seconds / 3600:.1f} hours: {fastest.machine} ({fastest.market})",
        )
    ways: tuple[Remedy, ...] = ()
    if not written.fits or not ranked:
        elsewhere = search(recipe, judge, [*chosen, catalog.here, *catalog.machines], MARKETS) if chosen else found
        ways = tuple(remedies(written.settings, written.machine, elsewhere.options))
    best = {
        name: next(iter(rank((o for o in found.options if o.settings.method == name), by)), None) for name in METHODS
    }
    return Plan(
        name=recipe.name,
        source=recipe.model.source,
        parameters=sizes.shape.parameters,
        shape_from=sizes.origin,
        rows_from=rows.origin,
        tokens=rows.workload.trained.tokens,
        by=by,
        written=written,
        ranked=tuple(ranked[:KEPT]),
        methods=best,
        refusals=found.refusals,
        remedies=ways,
        prompt=_weighed(recipe, catalog, written if written.fits else next(iter(ranked), written)),
    )


def plan_written(recipe: Recipe, judge: Judge, machine: Machine, market: Market | None = None) -> Option:
    """The recipe as it stands: enough machines for its workers, in the market named or the first offered."""
    count = max(1, math.ceil(recipe.resources.most / max(1, machine.num_accelerators))) if machine.accelerator else 1
    workers = workers_on(machine, count, recipe)
    settings = settings_of(recipe)
    if machine.accelerator is None:
        settings = replace(settings, offload="none")
    changed = with_settings(recipe, settings, workers, machine.accelerator is not None)
    offered = market or (machine.prices[0].market if machine.prices else "on-demand")
    if machine.price(offered) is None:
        others = ", ".join(price.market for price in machine.prices) or "nowhere"
        raise PlanError(f"{machine.key} has no {offered} price", where="--market", fix=f"it is offered: {others}")
    return judge.option(changed, settings, machine, count, offered, workers)


def _weighed(recipe: Recipe, catalog: Catalog, option: Option) -> PromptOrTune | None:
    demand = recipe.demand
    if demand is None:
        return None
    price = None
    if demand.machine is not None:
        machine = catalog.machine(demand.machine)
        price = machine.prices[0] if machine.prices else None
    return weigh(demand, option.usd, price)
