"""Rates found again from steps that were made up from them, also when one measurement went wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.plan.time.places import machine, owned, recipe
from tunesmith.plan.time.rates import Rates, assumed_rates
from tunesmith.run.calibrate import trials
from tunesmith.run.fit import Measured, fit, fitted
from tunesmith.run.stand_in import StandIn, lay_out

HERE = owned(machine(cpus=2))
PRIOR = assumed_rates(HERE.machine, "lora")
TRUE = replace(PRIOR, flops=3e11, attention=1e11, bandwidth=2e10, dispatch=4e-3)


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> list[StandIn]:
    """What a calibration lays out, of a small model."""
    from transformers import LlamaConfig

    config = LlamaConfig(
        hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=512, max_position_embeddings=2048,
    )  # fmt: skip
    start = tmp_path_factory.mktemp("stand-ins")
    of = recipe()
    return [
        lay_out(start / str(number), of, config, trial, "float32", 1, 1) for number, trial in enumerate(trials(of, 256))
    ]


def measured(stand_ins: list[StandIn], spoilt: int | None = None) -> list[Measured]:
    """Steps that take what the true rates say; one of them fifteen times as long."""
    made = [Measured(one, 0.0, 0.001) for one in stand_ins]
    seconds = [fitted(one, HERE, TRUE) * (15 if number == spoilt else 1) for number, one in enumerate(made)]
    return [replace(one, passes=value) for one, value in zip(made, seconds, strict=True)]


@pytest.mark.parametrize("spoilt", [None, 2, 5])
def test_rates_are_found_again(stand_ins: list[StandIn], spoilt: int | None) -> None:
    found: Rates = fit(measured(stand_ins, spoilt), HERE, PRIOR)
    for one in measured(stand_ins):
        assert fitted(one, HERE, found) == pytest.approx(one.passes, rel=0.1)
    assert found.flops == pytest.approx(TRUE.flops, rel=0.4)
    assert found.dispatch == pytest.approx(TRUE.dispatch, rel=0.4)
    assert found.step == 0.001


def test_stand_ins_hold_what_their_manifest_says(stand_ins: list[StandIn]) -> None:
    from tunesmith.data.dataset import open_dataset

    for one in stand_ins:
        rows = open_dataset(Path(one.job.dataset_folder)).rows("train")
        train = one.workload.train
        assert (train.rows, train.tokens, train.labels) == (len(rows), rows.num_tokens.sum(), rows.num_labels.sum())
        assert train.squares == sum(int((rows[index].document_lengths ** 2).sum()) for index in range(len(rows)))
