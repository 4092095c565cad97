"""What a run costs is counted from the clock and the price, over all its starts, and survives what kills it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from tunesmith.errors import PlanError
from tunesmith.plan.ledger import Ledger, Limit, Meter, cost_at
from tunesmith.plan.money import Price
from tunesmith.recipe.budget import BudgetSection

PRICE = Price(Decimal("3.60"), "spot", date(2026, 11, 25), "a price list")


class Clock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_a_run_costs_its_machines_by_the_second_waiting_included(tmp_path: Path) -> None:
    clock, held = Clock(), [2.0]
    with Meter(tmp_path, PRICE, lambda: held[0], clock=clock) as meter:
        clock.now += 100
        assert meter.usd == Decimal("0.2")  # 2 machines x 100 s x 0.001 dollars
        meter.look()
        held[0] = 0.5
        clock.now += 10
        meter.look()
        clock.now += 20
    ledger = Ledger.read(tmp_path)
    assert [(entry.seconds, entry.machines) for entry in ledger.entries] == [(100, 2.0), (10, 2.0), (20, 0.5)]
    assert ledger.usd == Decimal("0.23")
    assert ledger.hours * 3600 == pytest.approx(130)
    assert json.loads((tmp_path / "ledger.jsonl").read_text().splitlines()[0])["price"]["source"] == "a price list"


def test_a_second_start_goes_on_counting_and_the_pause_is_free(tmp_path: Path) -> None:
    clock = Clock()
    for _ in range(2):
        with Meter(tmp_path, PRICE, clock=clock):
            clock.now += 50
        clock.now += 10_000
    assert Ledger.read(tmp_path).usd == Decimal("0.1")


def test_workers_see_the_cost_grow_between_two_words_of_the_meter_and_not_for_ever(tmp_path: Path) -> None:
    clock = Clock()
    assert cost_at(tmp_path, clock.now) is None
    with Meter(tmp_path, PRICE, clock=clock):
        assert cost_at(tmp_path, clock.now + 5) == Decimal("0.005")
        assert cost_at(tmp_path, clock.now + 9999) == Decimal("0.06")  # its last word is a minute old: it is gone
    assert cost_at(tmp_path, clock.now) is None


METER = """
import sys, time
from datetime import date
from decimal import Decimal
from pathlib import Path
from tunesmith.plan.ledger import Meter
from tunesmith.plan.money import Price
with Meter(Path(sys.argv[1]), Price(Decimal("3600"), "spot", date(2026, 11, 25), "x"), every=0.05) as meter:
    print("on", flush=True)
    while True:
        meter.look()
        time.sleep(0.01)
"""


def test_a_meter_that_is_killed_loses_one_interval_at_most_and_what_went_on_is_counted(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", METER, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    began = time.time()
    time.sleep(0.6)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    held = time.time() - began
    counted = float(Ledger.read(tmp_path).usd)  # a dollar a second
    assert held - 0.3 < counted < held + 0.3
    with (tmp_path / "ledger.jsonl").open("ab") as file:
        file.write(b'{"began": 17')  # the line that it was killed in
    last = Ledger.read(tmp_path).last
    assert last is not None
    clock = Clock(last.ended + 100)
    with Meter(tmp_path, PRICE, worked_until=lambda: last.ended + 7, clock=clock):
        clock.now += 1
    *_, missed, new = Ledger.read(tmp_path).entries
    assert (missed.seconds, missed.why) == (pytest.approx(7), "not watched, after a crash")
    assert (new.seconds, new.price) == (1, PRICE)


def test_a_line_that_is_no_entry_is_named_and_not_passed_over(tmp_path: Path) -> None:
    clock = Clock()
    with Meter(tmp_path, PRICE, clock=clock):
        clock.now += 1
    path = tmp_path / "ledger.jsonl"
    path.write_text("nonsense\n" + path.read_text())
    with pytest.raises(PlanError) as caught:
        Ledger.read(tmp_path)
    assert caught.value.where == f"{path}:1"


@pytest.mark.parametrize(
    ("budget", "reserve", "reached"),
    [
        ({}, 1e9, None),
        ({"max_usd": 1}, 3.9, None),
        ({"max_usd": 1}, 4.0, "$0.60 of the budget's $1.00 are spent"),
        ({"max_hours": 2}, 1799, None),
        ({"max_hours": 2}, 1800, "1.50 of the budget's 2 hours are over"),
    ],
)
def test_a_run_stops_while_there_is_money_for_its_checkpoint(
    budget: dict[str, float], reserve: float, reached: str | None
) -> None:
    limit = Limit(BudgetSection.model_validate(budget))
    assert limit.reached(Decimal("0.6"), 1.5, Decimal(360), reserve) == reached


def test_a_start_with_nothing_left_is_refused(tmp_path: Path) -> None:
    clock = Clock()
    with Meter(tmp_path, PRICE, clock=clock):
        clock.now += 1000
    ledger = Ledger.read(tmp_path)
    Limit(BudgetSection(max_usd=1.1, max_hours=0.3)).check(ledger)
    with pytest.raises(PlanError) as caught:
        Limit(BudgetSection(max_usd=1.0)).check(ledger)
    assert caught.value.where == "budget.max_usd"
    assert caught.value.what == "nothing is left of the budget of $1.00: $1.00 are spent"
    with pytest.raises(PlanError) as caught:
        Limit(BudgetSection(max_hours=0.25)).check(ledger)
    assert caught.value.where == "budget.max_hours"
    assert caught.value.what == "nothing is left of the budget of 0.25 hours: 0.28 are over"
