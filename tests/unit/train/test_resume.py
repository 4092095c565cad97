"""A run stopped anywhere and resumed ends as the run that was not: the same adapter bytes, losses and counts."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.ready import ready_processes
from tests.unit.train import killable
from tests.unit.train.conftest import MakeJob
from tunesmith.errors import TrainError
from tunesmith.train import attempts, checkpoint, loop
from tunesmith.train.job import STOP, TrainJob, TrainResult, read_result
from tunesmith.train.keeper import Keeper
from tunesmith.train.loop import Loop
from tunesmith.train.places import Folder
from tunesmith.train.saver import Saver
from tunesmith.train.sinks import read_events
from tunesmith.train.step import Stepper

KINDS: dict[str, dict[str, Any]] = {
    "plain": {"train": {"epochs": 2, "batch_size": 4, "checkpoint_every": 2}},
    "dropout": {"train": {"epochs": 2, "batch_size": 4}, "method": {"rank": 4, "dropout": 0.3}},
    "accumulation": {"train": {"epochs": 1.7, "batch_tokens": 200, "micro_batch_tokens": 64, "checkpoint_every": 3}},
    "best is not last": {"train": {"epochs": 4, "batch_size": 4, "learning_rate": 0.06, "eval_every": 2, "checkpoint_every": 3, "keep_checkpoints": 1}},  # noqa: E501
    "evaluates more often": {"train": {"epochs": 3, "batch_size": 4, "eval_every": 1, "checkpoint_every": 5}},
    "saves more often": {"train": {"epochs": 3, "batch_size": 4, "eval_every": 5, "checkpoint_every": 1}},
    "8 bits": {"train": {"epochs": 2, "batch_size": 4, "optimizer": "adamw8bit"}, "method": {"rank": 64}},
    "all weights": {"train": {"epochs": 2, "batch_size": 4, "checkpoint_every": 2}, "method": {"type": "full"}},
    "early stop": {"train": {"epochs": 9, "batch_size": 4, "learning_rate": 0.06, "eval_every": 1, "early_stopping": {"patience": 2}}},  # noqa: E501
}  # fmt: skip


def adapter(job: TrainJob) -> bytes:
    """The trained weights as a run leaves them."""
    [path] = job.artefact.glob("*.safetensors")
    return path.read_bytes()


def outcome(job: TrainJob) -> dict[str, Any]:
    """Everything but the clock and the memory, which is that of all tests before in this process."""
    result = read_result(job.folder)
    assert result is not None
    return {name: value for name, value in vars(result).items() if name not in ("seconds", "peak_host_bytes")}


def story(job: TrainJob) -> list[tuple[Any, ...]]:
    """Losses, norms, rates and validation losses, in the order of the run."""
    keys = ("event", "step", "train_loss", "gradient_norm", "learning_rate", "validation_loss")
    told = [event for event in read_events(job.folder) if event["event"] in ("step", "evaluation")]
    return [tuple(event.get(key) for key in keys) for event in told]


def validation_losses(job: TrainJob) -> dict[int, float]:
    evaluations = [event for event in read_events(job.folder) if event["event"] == "evaluation"]
    return {event["step"]: event["validation_loss"] for event in evaluations}


def same(job: TrainJob, reference: TrainJob) -> None:
    assert adapter(job) == adapter(reference)
    assert outcome(job) == outcome(reference)
    assert story(job) == story(reference)


def run_with_stops(job: TrainJob, monkeypatch: pytest.MonkeyPatch, every: int = 1) -> TrainResult:
    """Ask for a stop after each `every`-th step and start again, until the end."""
    stop = job.folder / STOP
    for _ in range(200):
        stop.unlink(missing_ok=True)
        one = Loop(job)
        mine, done = one._mine, []

        def stopping(number: int, mine: Any = mine, done: list[int] = done) -> Any:
            done.append(number)
            if len(done) == every:
                stop.touch()
            return mine(number)

        monkeypatch.setattr(one, "_mine", stopping)
        result = one.run()
        if result.finished:
            return result
        assert len(done) == every
        assert read_result(job.folder) is None
        assert not job.artefact.exists()
    raise AssertionError("the run never ends")


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_stopped_after_every_few_steps_is_the_run_that_was_not(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    whole = make_job(run="whole", **KINDS[kind])
    Loop(whole).run()
    parts = make_job(run="parts", **KINDS[kind])
    run_with_stops(parts, monkeypatch, every=3)
    same(parts, whole)


class Killed(BaseException):
    """What SIGKILL is to the code under test: nothing of it runs afterwards."""


def kill_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, countdown: int, *, before: bool) -> list[int]:
    """Break off at the `countdown`-th call of a function, before or after it has done its work."""
    original, left = getattr(owner, name), [countdown]

    def broken(*arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and before:
            raise Killed
        value = original(*arguments, **named)
        if left[0] == 0:
            raise Killed
        return value

    monkeypatch.setattr(owner, name, broken)
    return left


PLACES = [(Saver, "save"), (Keeper, "written"), (loop, "finish"), (Loop, "_evaluate"), (Loop, "_result")]


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "name"), PLACES, ids=[name for _, name in PLACES])
@pytest.mark.parametrize("kind", ["best is not last", "early stop"])
def test_a_run_that_dies_around_any_write_is_the_run_that_did_not(
    make_job: MakeJob, kind: str, owner: Any, name: str, before: bool
) -> None:
    """Die at the first call, resume, die at the second call from there, and so on."""
    whole = make_job(run="whole", **KINDS[kind])
    Loop(whole).run()
    parts = make_job(run="parts", **KINDS[kind])
    deaths = 0
    for countdown in range(1, 50):
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, owner, name, countdown, before=before)
            attempts.forget_count(parts.folder)
            try:
                Loop(parts).run()
                break
            except Killed:
                deaths += 1
    assert deaths >= 1
    same(parts, whole)


def test_a_run_whose_last_step_is_saved_needs_no_more_steps(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(**KINDS["plain"])
    Loop(job).run()
    first, told = adapter(job), story(job)
    (job.folder / "result.json").unlink()
    shutil.rmtree(job.folder / "adapter")
    monkeypatch.setattr(Stepper, "step", lambda *_: pytest.fail("a step was done again"))
    Loop(job).run()
    assert adapter(job) == first
    assert story(job) == told


def test_an_adapter_left_by_another_attempt_is_replaced(make_job: MakeJob) -> None:
    job = make_job(**KINDS["plain"])
    (job.folder / "adapter").mkdir()
    (job.folder / "adapter" / "adapter_model.safetensors").write_bytes(b"of another run")
    Loop(job).run()
    assert len(adapter(job)) > 1000
    assert not [path for path in job.folder.iterdir() if path.name.startswith(".tmp-")]


@pytest.mark.slow
def test_a_process_killed_at_random_moments_is_resumed_bit_for_bit(make_job: MakeJob) -> None:
    """SIGKILL a real process, seven times or until it is through, at moments drawn anew each time."""
    chance = random.Random(4)
    train = {"epochs": 12, "batch_size": 2, "checkpoint_every": 1, "eval_every": 3, "keep_checkpoints": 1}
    whole = make_job(train, run="whole", method={"rank": 4, "dropout": 0.1})
    one = Loop(whole)
    began = time.monotonic()
    one.run()
    lasts = time.monotonic() - began
    parts = make_job(train, run="parts", method={"rank": 4, "dropout": 0.1})
    context = ready_processes()
    kills, resumed = 0, 0
    for _ in range(7):
        here, there = context.Pipe()
        child = context.Process(target=killable.train, args=(parts.to_json(), there))
        child.start()
        assert here.recv() == "ready"
        time.sleep(chance.uniform(0.02, 0.4) * lasts)
        child.kill()
        child.join()
        kills += child.exitcode == -signal.SIGKILL
        attempts.forget_count(parts.folder)  # as a command does that is given again
        resumed = max(resumed, *Folder(parts.folder / "checkpoints").steps(), 0)
        if read_result(parts.folder):
            break
    assert kills >= 2
    assert resumed > 0
    Loop(parts).run()
    same(parts, whole)
    assert [path.name for path in (parts.folder / "checkpoints").iterdir() if path.name.startswith(".tmp-")] == []


def test_a_half_written_checkpoint_does_not_count_and_is_removed(make_job: MakeJob) -> None:
    job = make_job({**KINDS["plain"]["train"], "max_steps": 4})
    unfinished = job.folder / "checkpoints" / ".tmp-step-00000099-1-abcd"
    unfinished.mkdir(parents=True)
    (unfinished / "rank-00000.safetensors").write_bytes(b"half")
    (job.folder / "checkpoints" / "step-00000003.bak").mkdir()
    assert Loop(job).run().status == "finished"
    assert not unfinished.exists()
    assert (job.folder / "checkpoints" / "step-00000003.bak").is_dir()


def interrupted(job: TrainJob, steps: int = 1) -> Path:
    """Stop a run after its first step; returns its checkpoint."""
    (job.folder / STOP).touch()
    assert Loop(job).run().status == "interrupted"
    (job.folder / STOP).unlink()
    place = Folder(job.folder / "checkpoints")
    return place.at_step(place.steps()[-1])


def damage_tail(path: Path) -> None:
    content = (path / "rank-00000.safetensors").read_bytes()
    (path / "rank-00000.safetensors").write_bytes(content[:-100])


def damage_bit(path: Path) -> None:
    content = bytearray((path / "rank-00000.safetensors").read_bytes())
    content[-5] ^= 1
    (path / "rank-00000.safetensors").write_bytes(content)


DAMAGES = {
    "cut short": (damage_tail, "rank-00000.safetensors is not what was written"),
    "one bit": (damage_bit, "rank-00000.safetensors is not what was written"),
    "empty": (lambda path: (path / "rank-00000.safetensors").write_bytes(b""), "rank-00000.safetensors is not what was written"),  # noqa: E501
    "weights missing": (lambda path: (path / "rank-00000.safetensors").unlink(), "No such file or directory"),
    "state missing": (lambda path: (path / "state.json").unlink(), "No such file or directory"),
    "state cut": (lambda path: (path / "state.json").write_text('{"step": 1'), "Expecting ',' delimiter: line 1 column 11 (char 10)"),  # noqa: E501
    "state of another kind": (lambda path: (path / "state.json").write_text("[]"), "'str' object cannot be interpreted as an integer"),  # noqa: E501
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named(make_job: MakeJob, damage: str) -> None:
    job = make_job(**KINDS["plain"])
    path = interrupted(job)
    act, reason = DAMAGES[damage]
    act(path)
    with pytest.raises(TrainError) as caught:
        Loop(job).run()
    assert str(caught.value) == (
        f"{path}: the checkpoint is damaged ({reason})\n"
        "  fix: remove it to go on from the checkpoint before it, or from the start"
    )
    shutil.rmtree(path)
    assert Loop(job).run().status == "finished"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"identity": {"dataset": "another"}}, "dataset"),
        ({"identity": {"dataset": "tiny", "model": "x"}}, "model"),
        ({"train": {"epochs": 5, "batch_size": 4}}, "total_steps"),
        ({"method": {"rank": 8}}, "trained parameters"),
        ({"method": {"targets": ["q_proj"]}}, "trained parameters"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(make_job: MakeJob, change: dict[str, Any], named: str) -> None:
    first = make_job(**KINDS["plain"])
    path = interrupted(first)
    sections = {**KINDS["plain"], **{key: value for key, value in change.items() if key != "identity"}}
    job = make_job(**sections)
    if "identity" in change:
        job = TrainJob(**{**job.to_json(), "identity": change["identity"]})
    with pytest.raises(TrainError) as caught:
        Loop(job).run()
    assert str(caught.value) == (
        f"{path}: the checkpoint is of another run (it differs in: {named})\n"
        "  fix: train under another recipe name, or remove the run's folder"
    )


def test_a_refused_checkpoint_changes_nothing(make_job: MakeJob) -> None:
    path = interrupted(make_job(**KINDS["plain"]))
    one = Loop(make_job(run="other", **KINDS["plain"]))
    before = {name: parameter.detach().clone() for name, parameter in one.parameters.items()}
    with pytest.raises(TrainError):
        place = Folder(path.parent)
        checkpoint.load(place, place.steps()[-1], one.strategy, {"dataset": "another"})
    assert all(torch.equal(before[name], parameter) for name, parameter in one.parameters.items())
    assert not one.strategy.optimizer.state


def test_which_checkpoints_stay(make_job: MakeJob) -> None:
    """The newest `keep_checkpoints` and the best one, which the adapter is."""
    job = make_job(**KINDS["best is not last"])
    result = Loop(job).run()
    kept = sorted(int(path.name[5:]) for path in (job.folder / "checkpoints").iterdir())
    assert result.best_step is not None
    assert result.best_step < result.steps
    assert kept == [result.best_step, result.steps]
    losses = {
        event["step"]: event["validation_loss"] for event in read_events(job.folder) if "validation_loss" in event
    }
    assert result.best_loss == min(losses.values()) == losses[result.best_step]


def test_the_best_loss_is_the_lowest_also_when_it_improves_too_little_for_early_stopping(make_job: MakeJob) -> None:
    early = {"patience": 3, "min_improvement": 10.0}
    job = make_job({"epochs": 5, "batch_size": 4, "eval_every": 1, "early_stopping": early})
    result = Loop(job).run()
    losses = {
        event["step"]: event["validation_loss"] for event in read_events(job.folder) if "validation_loss" in event
    }
    assert (result.status, result.steps) == ("stopped_early", 4)
    assert result.best_step == min(losses, key=lambda step: losses[step])
    assert result.best_step > 1


def test_workers_that_see_different_checkpoints_are_refused(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when each node has a disk of its own: the first worker is at step 5, this one at 0."""
    one = Loop(make_job())
    monkeypatch.setattr(one.strategy, "sum", lambda values: [value + 5 for value in values])
    with pytest.raises(TrainError) as caught:
        one.run()
    assert caught.value.what == "the workers do not see the same checkpoints: one is at step 0, the first at 5"


def test_metrics_tell_every_step_once_and_never_a_cut_line(make_job: MakeJob) -> None:
    job = make_job(**KINDS["plain"])
    interrupted(job)
    with (job.folder / "metrics.jsonl").open("a") as file:
        file.write('{"event": "step", "step": 2, "train_l')
    Loop(job).run()
    steps = [event["step"] for event in read_events(job.folder) if event["event"] == "step"]
    assert steps == list(range(1, 9))
    starts = [event["step"] for event in read_events(job.folder) if event["event"] == "start"]
    assert starts == [0, 1]


def test_seconds_go_on_counting(make_job: MakeJob) -> None:
    job = make_job(**KINDS["plain"])
    path = interrupted(job)
    state = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps({**state, "seconds": 1000.0}))
    assert Loop(job).run().seconds > 1000
