"""Prompt or fine-tune: dollars a month either way, worked out by hand."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest

from tunesmith.plan.money import Price
from tunesmith.plan.prompt import PromptOrTune, weigh
from tunesmith.recipe.demand import DemandSection

DEMAND = {
    "requests_per_month": 1_000_000, "prompt_tokens": 100, "few_shot_tokens": 900, "answer_tokens": 50,
    "usd_per_million_input": 1.0, "usd_per_million_output": 2.0,
}  # fmt: skip


def test_by_the_token_the_shorter_prompt_is_what_is_saved() -> None:
    found = weigh(DemandSection.model_validate(DEMAND), Decimal(450))
    assert found.prompt_usd == Decimal(1100)  # 1,000 tokens read and 50 written, a million times
    assert found.tuned_usd == Decimal(200)
    assert found.break_even_months == pytest.approx(0.5)
    assert found.break_even_requests == 500_000
    assert PromptOrTune.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_machine_all_month_needs_enough_requests() -> None:
    machine = Price(Decimal("1.00"), "on-demand", date(2026, 1, 1), "a test")
    section = DemandSection.model_validate({**DEMAND, "machine": "aws:g5.xlarge"})
    found = weigh(section, Decimal(450), machine)
    assert found.tuned_usd == Decimal(730)
    assert found.break_even_months == pytest.approx(450 / (1100 - 730))
    few = weigh(section.model_copy(update={"requests_per_month": 1000}), Decimal(450), machine)
    assert few.break_even_months is None and few.saving_usd < 0
    assert few.year_requests_per_month == pytest.approx((450 / 12 + 730) / 0.0011, rel=1e-3)
