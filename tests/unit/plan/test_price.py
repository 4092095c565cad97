"""The price of a run is the recipe's, else the catalog's for the machine it names, else this machine's electricity."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tunesmith.errors import PlanError
from tunesmith.plan.catalog import load_catalog
from tunesmith.plan.price import machine_of, price_of
from tunesmith.recipe.resources import ResourcesSection


def test_the_recipe_comes_before_the_catalog_and_the_catalog_before_electricity() -> None:
    catalog = load_catalog()
    listed = catalog.machine("aws:g5.xlarge").price("on-demand")
    assert listed is not None
    assert price_of(ResourcesSection(machine="aws:g5.xlarge"), catalog) == listed
    own = ResourcesSection(machine="aws:g5.xlarge", usd_per_hour=0.25)
    assert price_of(own, catalog).usd_per_hour == Decimal("0.25")
    assert price_of(own, catalog).source == "the recipe, resources.usd_per_hour"
    assert machine_of(own, catalog).price("spot") == catalog.machine("aws:g5.xlarge").price("spot")
    assert price_of(ResourcesSection(), catalog) == catalog.here.price("owned")


def test_a_machine_or_a_market_that_is_not_there_is_named() -> None:
    with pytest.raises(PlanError) as caught:
        price_of(ResourcesSection(machine="aws:g5.xlarg"), load_catalog())
    assert (caught.value.where, caught.value.fix) == ("resources.machine", "did you mean 'aws:g5.xlarge'?")
    with pytest.raises(PlanError) as caught:
        price_of(ResourcesSection(machine="aws:g5.xlarge", market="owned"), load_catalog())
    assert caught.value.what == "aws:g5.xlarge has no owned price (known: on-demand, spot)"
