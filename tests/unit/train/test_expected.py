"""What speaks against a start, and what was expected beside what came."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tunesmith.plan.ledger import Ledger
from tunesmith.plan.ledger.ledger import Entry
from tunesmith.plan.money import Price
from tunesmith.recipe.budget import BudgetSection
from tunesmith.train.expected import Expected, compare, concerns, keep
from tunesmith.train.job import TrainResult

EXPECTED = Expected(
    machine="owned:here", verdict="FITS", on_gpu=False, peak_bytes=2 << 30, memory_share=0.2, seconds=3600.0,
    usd=Decimal("2"), first_loss_seconds=600.0, first_loss_usd=Decimal("0.4"), rates="measured",
)  # fmt: skip
RESULT = TrainResult("finished", 9, 9, 100, 10, 5.0, 9, 1.0, 10, 100, peak_host_bytes=3 << 30)


def entry(usd: str) -> Entry:
    """An hour at so much."""
    return Entry(0.0, 3600.0, 1.0, Price(Decimal(usd), "owned", date(2026, 1, 1), "a test"))


def found(ledger: Ledger | None = None, expected: Expected = EXPECTED, **budget: Any) -> list[tuple[str, bool]]:
    return [(one.where, one.refused) for one in concerns(expected, BudgetSection(**budget), ledger or Ledger())]


def test_a_cheap_run_within_its_budget_starts_unasked() -> None:
    assert found(confirm_above_usd=2) == []
    assert found(confirm_above_usd=2, max_usd=2.5, max_hours=2) == []


def test_a_dear_run_is_asked_about_by_what_is_still_to_be_spent() -> None:
    assert found(confirm_above_usd=1) == [("budget.confirm_above_usd", False)]
    assert found(Ledger((entry("1.5"),)), confirm_above_usd=1) == []


def test_a_budget_below_one_evaluation_is_refused_and_one_below_the_whole_is_asked_about() -> None:
    assert found(confirm_above_usd=9, max_usd=0.3) == [("budget.max_usd", True)]
    assert found(confirm_above_usd=9, max_usd=0.5) == [("budget.max_usd", False)]
    assert found(confirm_above_usd=9, max_hours=0.1) == [("budget.max_hours", True)]


def test_a_run_that_goes_on_has_its_first_loss_behind_it() -> None:
    assert found(Ledger((entry("0.4"),)), confirm_above_usd=9, max_usd=0.5) == [("budget.max_usd", False)]


def test_what_does_not_fit_is_refused() -> None:
    too_large = Expected(**{**vars(EXPECTED), "verdict": "OOM", "memory_share": 1.7})
    [concern] = concerns(too_large, BudgetSection(confirm_above_usd=9), Ledger())
    assert concern.refused and "170%" in concern.what


def test_the_first_plan_of_a_run_is_kept_and_compared(tmp_path: Path) -> None:
    assert compare(tmp_path, RESULT) == []
    keep(EXPECTED, tmp_path)
    keep(Expected(**{**vars(EXPECTED), "seconds": 1.0}), tmp_path)
    memory, seconds, usd = compare(tmp_path, RESULT)
    assert (memory.expected, memory.actual) == (2.0, 3.0)
    assert (seconds.expected, seconds.actual) == (3600.0, 0.0)
    assert usd.expected == pytest.approx(2.0)
    (tmp_path / "expected.json").write_text("{}")
    assert compare(tmp_path, RESULT) == []
