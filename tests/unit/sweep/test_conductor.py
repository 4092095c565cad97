"""Money of a sweep, with a clock that the test moves: one dollar a second."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from tunesmith.recipe.sweep import SweepSection
from tunesmith.sweep.conductor import Conductor
from tunesmith.sweep.record import Record

SPACE = {"train.learning_rate": {"choice": [1e-4, 2e-4, 3e-4, 4e-4]}}


class Fixed:
    """Every trial is expected to cost ten dollars."""

    usd_per_second = Decimal(1)

    def whole(self, config: dict[str, Any]) -> Decimal:
        return Decimal(10)

    def learn(self, config: dict[str, Any], usd: Decimal, share: float) -> None:
        pass


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def conductor(folder: Path, clock: Clock, max_usd: float, scheduler: str = "none") -> Conductor:
    values = {"space": SPACE, "max_usd": max_usd, "searcher": {"type": "grid"}, "scheduler": {"type": scheduler}}
    return Conductor(SweepSection.model_validate(values), Record(folder), Fixed(), lambda config: "run", clock)


def train(sweep: Conductor, clock: Clock, name: str, steps: int, seconds: float, loss: float = 1.0) -> str | None:
    for step in range(1, steps + 1):
        clock.now += seconds
        if status := sweep.report(name, step, loss, step / 10):
            sweep.end(name, status)
            return status
    return None


def test_a_dear_trial_is_stopped_at_the_report_at_which_the_money_is_spent(tmp_path: Path) -> None:
    clock = Clock()
    sweep = conductor(tmp_path, clock, 15)
    first = sweep.next()
    assert first is not None
    assert train(sweep, clock, first.name, 10, 4) == "out-of-money"
    assert sweep.spent == Decimal(16)  # one report, four dollars, past fifteen at most
    assert sweep.next() is None and not sweep.running
    assert sweep.winner() is None


def test_a_trial_that_does_not_fit_waits_until_another_gives_back_what_it_did_not_use(tmp_path: Path) -> None:
    clock = Clock()
    sweep = conductor(tmp_path, clock, 15)
    first = sweep.next()
    assert first is not None
    assert sweep.next() is None and sweep.running
    assert train(sweep, clock, first.name, 10, 0.5) is None
    sweep.end(first.name, "whole")
    second = sweep.next()
    assert second is not None and second.name == "trial-002"


def test_a_sweep_that_was_killed_goes_on_with_the_same_trials_money_and_choices(tmp_path: Path) -> None:
    clock = Clock()
    sweep = conductor(tmp_path, clock, 100)
    first, second = sweep.next(), sweep.next()
    assert first is not None and second is not None
    train(sweep, clock, first.name, 10, 0.5, loss=2.0)
    sweep.end(first.name, "whole")
    train(sweep, clock, second.name, 3, 1.0)
    paid = sweep.spent
    with (tmp_path / "trials.jsonl").open("a") as file:
        file.write('{"event": "repor')  # it died in the middle of a line

    later = Clock()
    again = conductor(tmp_path, later, 100)
    assert again.spent == paid
    resumed, third = again.next(), again.next()
    assert resumed is not None and third is not None
    assert (resumed.name, resumed.config, resumed.starts) == (second.name, second.config, 2)
    assert third.config == {"train.learning_rate": 3e-4}
    train(again, later, resumed.name, 10, 1.0, loss=0.5)
    again.end(resumed.name, "whole")
    assert resumed.usd == second.usd + 10
    assert again.winner() is resumed


def test_a_trial_rests_until_it_is_among_the_best_for_the_same_dollars(tmp_path: Path) -> None:
    clock = Clock()
    sweep = conductor(tmp_path, clock, 100, scheduler="asha")
    for number, loss in enumerate((3.0, 1.0, 2.0), 1):
        trial = sweep.next()
        assert trial is not None and trial.name == f"trial-00{number}"
        assert train(sweep, clock, trial.name, 10, 1.0, loss) == "early"
    again = sweep.next()
    assert again is not None and (again.name, again.starts, again.status) == ("trial-002", 2, "waiting")
