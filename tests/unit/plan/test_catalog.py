"""The table of machines is whole, the user's file goes over it, offers of today between the two."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tunesmith.errors import TunesmithError
from tunesmith.plan.catalog import load_catalog
from tunesmith.plan.catalog.live import merge_offers
from tunesmith.plan.catalog.table import accelerators, cpu_machines, machines

TODAY = date(2026, 11, 26)


def test_every_price_of_the_table_has_a_day_a_source_and_a_sense() -> None:
    keys = [machine.key for machine in machines()]
    assert len(keys) == len(set(keys)) > 70
    assert {key.partition(":")[0] for key in keys} == {"aws", "gcp", "azure", "lambda", "runpod"}
    for machine in (*machines(), *cpu_machines()):
        assert machine.prices, machine.key
        for price in machine.prices:
            assert price.usd_per_hour > 0 and price.source
            assert price.date <= TODAY
        on_demand, spot = machine.price("on-demand"), machine.price("spot")
        if on_demand and spot:
            assert spot.usd_per_hour < on_demand.usd_per_hour, machine.key


def test_the_old_and_the_small_are_there() -> None:
    rented = {machine.accelerator.name for machine in machines() if machine.accelerator}
    assert {"T4", "A10G", "L4", "V100-16GB"} <= rented
    assert {"RTX 3090", "RTX 4090"} <= set(accelerators())
    for gpu in accelerators().values():
        assert 0 < gpu.flops_float32 <= gpu.flops_16bit and gpu.memory_bytes > 4 << 30 and gpu.source


def hardware(folder: Path, text: str) -> Path:
    path = folder / "hardware.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_own_machines_and_prices_go_over_the_table(tmp_path: Path) -> None:
    file = hardware(tmp_path, """
usd_per_kwh: 0.30
machines:
  - {name: box, gpu: RTX 3090, gpus: 2, cpus: 16, memory_gib: 64, watts: 1000}
  - {name: shelf, cpus: 8, memory_gib: 32, usd_per_hour: 0.05}
prices:
  - {machine: "aws:g5.xlarge", usd_per_hour: 0.8, note: our reseller, date_read: 2026-10-01}
this_machine: {usd_per_hour: 0.02}
""")  # fmt: skip
    catalog = load_catalog(file)
    box, shelf = catalog.machine("owned:box"), catalog.machine("owned:shelf")
    assert box.accelerator and (box.accelerator.name, box.num_accelerators) == ("RTX 3090", 2)
    assert box.prices[0].usd_per_hour == Decimal("0.30")  # a kilowatt for an hour
    assert (shelf.accelerator, shelf.prices[0].usd_per_hour) == (None, Decimal("0.05"))
    agreed = catalog.machine("aws:g5.xlarge").price("on-demand")
    assert agreed and agreed.usd_per_hour == Decimal("0.8")
    assert agreed.date == date(2026, 10, 1) and "our reseller" in agreed.source
    here = catalog.here.price("owned")
    assert here and here.usd_per_hour == Decimal("0.02")


@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        ("machines:\n  - {name: a, gpu: RTX 309, cpus: 1, memory_gib: 1}\n", "is not a GPU of the table", ":2"),
        ("machines:\n  - {name: ../a, cpus: 1, memory_gib: 1}\n", "name", ":2"),
        ("machine: []\n", "machine", ":1"),
        ("prices:\n  - {machine: aws:g5.xlarg, usd_per_hour: 1}\n", "there is no machine 'aws:g5.xlarg'", "prices"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_place(tmp_path: Path, text: str, what: str, where: str) -> None:
    with pytest.raises(TunesmithError) as caught:
        load_catalog(hardware(tmp_path, text))
    assert what in str(caught.value) and f"hardware.yaml{where}".replace("prices", ": prices") in str(caught.value)


def offer(provider: str, name: str, price: float, spot: bool = False, **more: Any) -> SimpleNamespace:
    """The fields of gpuhunt's CatalogItem that are read."""
    given = {"location": "us-east-1", "gpu_name": "A10G", "gpu_memory": 24, "gpu_count": 1, "cpu": 4, "memory": 16.0}
    return SimpleNamespace(provider=provider, instance_name=name, price=price, spot=spot, **{**given, **more})


def test_of_offers_the_cheapest_region_counts_and_the_rest_of_the_table_stays() -> None:
    offers = [
        offer("aws", "g5.xlarge", 1.2, location="eu-west-1"),
        offer("aws", "g5.xlarge", 1.1),
        offer("aws", "new.large", 0.9, spot=True),
        offer("aws", "strange", 0.1, gpu_name="no such GPU"),
        offer("elsewhere", "g5.xlarge", 0.1),
    ]
    found = {machine.key: machine for machine in merge_offers(offers, machines(), TODAY)}
    assert set(found) == {"aws:g5.xlarge", "aws:new.large"}
    known = found["aws:g5.xlarge"]
    on_demand = known.price("on-demand")
    assert on_demand and on_demand.usd_per_hour == Decimal("1.1") and on_demand.date == TODAY
    assert "us-east-1" in on_demand.source
    [before] = [machine for machine in machines() if machine.key == "aws:g5.xlarge"]
    assert known.price("spot") == before.price("spot") and known.memory_bytes == before.memory_bytes
    assert found["aws:new.large"].price("on-demand") is None
