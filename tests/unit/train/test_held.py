"""A second run in the same process gives what a process of its own would, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.unit.train.conftest import MakeJob
from tunesmith.models.held import HeldBase
from tunesmith.train.loop import Loop
from tunesmith.train.sinks import read_events

FIRST = {"rank": 8, "alpha": 16.0, "targets": ["q_proj", "up_proj"]}


def outcome(folder: Path) -> tuple[list[float], dict[str, Any]]:
    events = read_events(folder)
    losses = [event.get("train_loss", event.get("validation_loss")) for event in events]
    weights = load_file(folder / "adapter" / "adapter_model.safetensors")
    return [loss for loss in losses if loss is not None], {name: tensor.tolist() for name, tensor in weights.items()}


@pytest.mark.parametrize(
    ("method", "train"),
    [
        ({"rank": 4, "alpha": 8.0}, {}),
        ({"rank": 2, "dora": True}, {}),
        ({"rank": 4, "dropout": 0.1}, {"seed": 3}),
        ({"type": "qlora", "rank": 4}, {}),
    ],
)
def test_a_base_that_was_used_before_trains_as_a_fresh_one(make_job: MakeJob, method: dict, train: dict) -> None:
    if method.get("type") == "qlora":
        pytest.importorskip("bitsandbytes")
    short = {"max_steps": 4, "epochs": 4, **train}
    held = HeldBase()
    Loop(make_job({**short, "gradient_checkpointing": True}, run="before", method=FIRST), held=held).run()
    Loop(make_job(short, run="second", method=method), held=held).run()
    used = held.model
    Loop(make_job(short, run="third", method=method), held=held).run()
    assert held.model is used, "the base was read again"
    Loop(make_job(short, run="fresh", method=method)).run()
    runs = make_job(short).folder.parent
    expected = outcome(runs / "fresh")
    assert len(expected[0]) == 8
    assert outcome(runs / "second") == expected
    assert outcome(runs / "third") == expected
