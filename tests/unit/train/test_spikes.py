"""Losses that leap or are no numbers: passed over, gone back behind, or the end of the run; always with the rows."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from tests.unit.train.conftest import MakeJob
from tunesmith.errors import TrainError
from tunesmith.train import spikes
from tunesmith.train.job import read_result
from tunesmith.train.loop import Loop
from tunesmith.train.passes import Passes
from tunesmith.train.progress import Progress
from tunesmith.train.sinks import read_events

LONG = {"epochs": 12, "batch_size": 4, "checkpoint_every": 7, "eval_every": 24}  # 48 steps


def spoil(monkeypatch: pytest.MonkeyPatch, at: set[int], factor: float) -> None:
    """The loss and the gradients of these steps, counted from 1, times a factor."""
    gradients = Passes.gradients

    def spoilt(self: Passes, of: Any, step: int, rows: list[int], weight: float) -> tuple[float, float, float]:
        loss, tokens, labels = gradients(self, of, step, rows, weight)
        if step + 1 in at:
            loss *= factor
            for parameter in self.strategy.parameters.values():
                parameter.grad *= factor
        return loss, tokens, labels

    monkeypatch.setattr(Passes, "gradients", spoilt)


def story(job: Any, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_events(job.folder) if event["event"] == kind]


def test_a_leap_is_passed_over_and_moves_nothing(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(LONG)
    spoil(monkeypatch, {40}, 50.0)
    assert Loop(job).run().status == "finished"
    [event] = story(job, "passed_over")
    assert (event["at"], event["verdict"]) == (40, "spike")
    assert event["rows"] == Loop(job).plan.rows(39)
    assert [one["step"] for one in story(job, "step")] == [step for step in range(1, 49) if step != 40]
    [warning] = story(job, "warning")
    assert warning["text"].startswith("step 40 is passed over: the loss leapt to ")


def test_the_same_without_the_rows_is_the_same_run(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that leaps leaves no trace in the weights: leaping or not a number makes no difference."""
    leapt, nan = make_job(LONG, run="leapt"), make_job(LONG, run="nan")
    with monkeypatch.context() as patch:
        spoil(patch, {40}, 50.0)
        Loop(leapt).run()
    with monkeypatch.context() as patch:
        spoil(patch, {40}, float("nan"))
        Loop(nan).run()
    losses = [[one["train_loss"] for one in story(job, "step")] for job in (leapt, nan)]
    assert losses[0] == losses[1]


def test_three_in_a_row_go_back_to_the_checkpoint(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(LONG)
    spoil(monkeypatch, {38, 39, 40}, float("inf"))
    result = Loop(job).run()
    assert result.status == "finished"
    [event] = story(job, "rewound")
    assert event["step"] == 35
    steps = [one["step"] for one in story(job, "step")]
    assert steps == [*range(1, 36), *range(41, 49)]
    assert result == read_result(job.folder)


def test_a_leap_goes_back_at_once_when_the_recipe_says_so(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job({**LONG, "on_spike": "rewind"})
    spoil(monkeypatch, {40}, 50.0)
    Loop(job).run()
    assert [event["step"] for event in story(job, "rewound")] == [35]


def test_going_back_has_an_end(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job({**LONG, "max_rewinds": 1})
    spoil(monkeypatch, set(range(9, 49)), float("nan"))
    with pytest.raises(TrainError) as caught:
        Loop(job).run()
    assert caught.value.what == "going back to a checkpoint no longer helps at step 12"


def test_without_a_checkpoint_there_is_nothing_to_go_back_to(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, {2, 3, 4}, float("nan"))
    with pytest.raises(TrainError) as caught:
        Loop(make_job(LONG)).run()
    assert caught.value.what == "there is no checkpoint before step 4 to go back to"


def test_a_resumed_run_passes_over_what_it_passed_over_before(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = make_job(LONG, run="whole"), make_job(LONG, run="parts")
    spoil(monkeypatch, {38, 39, 40, 44}, float("nan"))
    Loop(whole).run()
    stopping = Loop(parts)
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_evaluate", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            stopping.run()
    stopping.keeper.saver.wait()
    Loop(parts).run()
    assert [(one["step"], one["train_loss"]) for one in story(parts, "step")] == [
        (one["step"], one["train_loss"]) for one in story(whole, "step")
    ]


def test_noise_is_no_spike() -> None:
    """Ten thousand losses of small batches, whose spread is a third of their mean, and none leaps."""
    chance, progress = random.Random(2), Progress()
    for _ in range(10_000):
        loss = max(0.1, chance.gauss(1.5, 0.5))
        assert spikes.judge(loss, 1.0, progress, True) == "good"
        spikes.remember(loss, progress)
    assert len(progress.recent_losses) == spikes.WINDOW
    assert spikes.judge(9.0, 1.0, progress, True) == "spike"
    assert spikes.judge(9.0, 1.0, progress, False) == "good"
    assert spikes.judge(1.0, float("inf"), progress, False) == "nonsense"


@pytest.mark.parametrize("message", ["CUDA out of memory", "[enforce fail] DefaultCPUAllocator: can't allocate memory"])
def test_memory_that_runs_out_halves_the_micro_batch(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    train = {"epochs": 2, "batch_size": 6, "micro_batch_tokens": 2048}
    plain, small = make_job(train, run="plain"), make_job(train, run="small")
    Loop(plain).run()
    forward = Passes._batch

    def batch(self: Passes, of: Any, indices: list[int]) -> Any:
        made = forward(self, of, indices)
        if made.num_tokens > 150:
            raise torch.OutOfMemoryError(message) if "CUDA" in message else RuntimeError(message)
        return made

    monkeypatch.setattr(Passes, "_batch", batch)
    loop = Loop(small)
    loop.run()
    limit = loop.passes.limit
    assert 30 < limit <= 150
    told = [event["text"] for event in story(small, "warning")]
    assert told[-1].endswith(f"micro-batches of {limit} tokens from now on")
    ours, theirs = ([event["train_loss"] for event in story(job, "step")] for job in (small, plain))
    assert ours == pytest.approx(theirs, abs=1e-5)
    again = Loop(small)
    assert again.keeper.resume(again.strategy, again.plan.total_steps)[1] == limit


def test_memory_for_not_even_one_row_is_a_sentence(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Passes, "_batch", never)
    with pytest.raises(TrainError) as caught:
        Loop(make_job({"batch_size": 6})).run()
    assert caught.value.what.startswith("memory ran out with a single row of ")


@pytest.mark.parametrize(("loss", "verdict"), [(0.11, "good"), (0.52, "good"), (0.53, "spike"), (9.0, "spike")])
def test_a_hard_row_among_rows_that_are_known_is_learnt(loss: float, verdict: str) -> None:
    """Losses near zero vary by next to nothing: ten deviations of that are no leap."""
    progress = Progress(recent_losses=[0.02 + 0.001 * (number % 3) for number in range(spikes.WINDOW)])
    assert spikes.judge(loss, 1.0, progress, heeds_spikes=True) == verdict
