"""The schedule against transformers' own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import get_constant_schedule, get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from tunesmith.recipe.train import TrainSection
from tunesmith.train.optimizer import learning_rate, num_warmup_steps


def theirs(make: Any, total: int, **settings: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=3e-4)
    scheduler = make(optimizer, **settings)
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("total", [1, 2, 7, 100])
@pytest.mark.parametrize("warmup", [0, 1, 5, 40])
@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_rates_are_those_of_transformers_behind_the_warm_up(schedule: str, warmup: int, total: int) -> None:
    section = TrainSection(learning_rate=3e-4, schedule=schedule, warmup=warmup)
    ours = [learning_rate(step, total, section) for step in range(total)]
    rising = min(warmup, total)
    make = {"cosine": get_cosine_schedule_with_warmup, "linear": get_linear_schedule_with_warmup}.get(schedule)
    expected = (
        theirs(make, total, num_warmup_steps=rising, num_training_steps=total)
        if make
        else theirs(get_constant_schedule, total)
    )
    assert ours[rising:] == pytest.approx(expected[rising:], rel=1e-12)
    # The warm-up leaves out transformers' first step, whose rate is 0: it is theirs of one step more, one step later.
    later = theirs(get_linear_schedule_with_warmup, rising + 1, num_warmup_steps=rising + 1, num_training_steps=999)
    assert ours[:rising] == pytest.approx(later[1:], rel=1e-12)


def test_no_step_is_spent_at_rate_zero_and_the_peak_is_reached() -> None:
    section = TrainSection(learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(step, 50, section) for step in range(50)]
    assert min(rates) > 0
    assert max(rates) == 1.0
    assert rates.index(1.0) == 5


@pytest.mark.parametrize(
    ("warmup", "total", "steps"), [(0, 10, 0), (0.05, 100, 5), (0.5, 3, 2), (1, 10, 1), (30, 10, 10), (0.01, 10, 0)]
)
def test_warm_up_is_a_share_or_a_number_of_steps(warmup: float, total: int, steps: int) -> None:
    assert num_warmup_steps(total, TrainSection(warmup=warmup)) == steps
