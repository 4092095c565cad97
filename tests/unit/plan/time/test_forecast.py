"""What a forecast promises: published rates, parts that add up, and more of something never taking less time."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plan.time.places import A100, H100, LLAMA_8B, T4, full_rows, machine, owned, recipe, seconds_a_token
from tunesmith.errors import PlanError
from tunesmith.plan.hardware import Placement
from tunesmith.plan.shape import ModelShape, shape_of
from tunesmith.plan.time import (
    Efficiency,
    TimeForecast,
    forecast_time,
    load_efficiency,
    save_efficiency,
    workload_of,
)
from tunesmith.plan.time.rates import assumed_rates

QWEN_7B, QWEN_14B = (
    shape_of(
        {
            "model_type": "llama", "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
            "num_attention_heads": heads, "num_key_value_heads": heads, "vocab_size": 152064,
        }
    )
    for hidden, inner, layers, heads in ((4096, 11008, 32, 32), (5120, 13696, 40, 40))
)  # fmt: skip
"""Qwen 1, whose layers are Llama's but for the biases of queries, keys and values."""


@pytest.mark.parametrize(
    ("shape", "gpu", "method", "length", "batch", "published"),
    [
        # NeMo AutoModel performance summary, LoRA, one H100, micro-batches of two, no checkpointing.
        (LLAMA_8B, H100, "lora", 4096, 2, 12_473),
        # github.com/QwenLM/Qwen README, one A100, eight accumulated rows of one, with checkpointing: seconds a step.
        (QWEN_7B, A100, "lora", 2048, 1, 8 * 2048 / 5.2),
        (QWEN_7B, A100, "lora", 8192, 1, 8 * 8192 / 21.3),
        (QWEN_14B, A100, "lora", 2048, 1, 8 * 2048 / 8.4),
        (QWEN_14B, A100, "lora", 8192, 1, 8 * 8192 / 36.0),
        (QWEN_7B, A100, "qlora", 2048, 1, 8 * 2048 / 7.0),
        (QWEN_7B, A100, "qlora", 8192, 1, 8 * 8192 / 22.3),
        (QWEN_14B, A100, "qlora", 2048, 1, 8 * 2048 / 11.8),
        (QWEN_14B, A100, "qlora", 8192, 1, 8 * 8192 / 38.3),
    ],
)
def test_assumed_rates_give_published_throughput(
    shape: ModelShape, gpu: Any, method: str, length: int, batch: int, published: float
) -> None:
    train = {
        "sequence_length": length, "micro_batch_tokens": length * batch, "gradient_checkpointing": gpu is A100,
    }  # fmt: skip
    tokens_per_second = 1 / seconds_a_token(shape, recipe({"type": method}, train), gpu)
    assert tokens_per_second == pytest.approx(published, rel=0.2)


def forecast(
    method: str = "lora", gpu: Any = H100, gpus: int = 1, count: int = 1, rows: int = 64, **train: Any
) -> TimeForecast:
    """Of an 8B model."""
    of = recipe({"type": method}, train)
    return forecast_time(LLAMA_8B, of, owned(machine(gpu, gpus), count), full_rows(of, rows), Efficiency())


def test_parts_add_up_and_are_written_down() -> None:
    found = forecast()
    assert found.total_seconds == pytest.approx(sum(found.parts.values()))
    assert found.training_seconds == pytest.approx(found.total_seconds - found.boot - found.evaluation)
    written = found.to_json()
    assert written["seconds"] == found.parts
    assert written["rates"]["origin"] == "assumed" and "NeMo" in written["rates"]["source"]


def test_more_work_takes_longer_and_more_workers_less() -> None:
    usual = forecast()
    assert forecast(gradient_checkpointing=True).compute > 1.2 * usual.compute
    assert forecast(rows=128).compute == pytest.approx(2 * usual.compute)
    assert forecast(method="full").compute > 1.2 * usual.compute
    assert forecast(method="qlora").compute > usual.compute
    assert forecast(gpus=8).compute < usual.compute / 6
    assert forecast(gpus=8).communication > usual.communication == 0
    assert forecast(gpus=8, count=2).communication > forecast(gpus=8).communication


def test_a_gpu_without_bfloat16_computes_in_float32() -> None:
    found = forecast(gpu=T4)
    assert found.rates.computes_in == "float32"
    assert found.rates.flops < T4.flops_float32


def test_a_processor_with_bfloat16_instructions_is_assumed_to_use_them() -> None:
    plain, quick = machine(cpus=2), replace(machine(cpus=2), bfloat16=True)
    before, after = (Efficiency().rates(one, "lora") for one in (plain, quick))
    assert (before.computes_in, after.computes_in) == ("float32", "bfloat16")
    assert after.flops == 2.5 * before.flops
    assert Efficiency().rates(quick, "lora", "float32").flops == pytest.approx(before.flops)


def test_a_type_that_this_processor_only_emulates_is_planned_so() -> None:
    here = replace(machine(cpus=2), provider="here")
    emulated, usual = Efficiency().rates(here, "lora", "bfloat16"), Efficiency().rates(here, "lora")
    assert emulated.flops < usual.flops / 20 and "without bfloat16" in emulated.source
    elsewhere = Efficiency().rates(machine(cpus=2), "lora", "bfloat16")
    assert elsewhere.flops == usual.flops, "what processors a cloud has is not known"


def test_workers_without_rows_do_not_make_a_step_shorter() -> None:
    of = recipe(train={"batch_size": 2})
    two, eight = (
        forecast_time(LLAMA_8B, of, owned(machine(H100, gpus)), full_rows(of, 64), Efficiency()) for gpus in (2, 8)
    )
    assert eight.compute == pytest.approx(two.compute)


def test_two_workers_share_the_cores_of_a_machine() -> None:
    here = owned(machine(cpus=2))
    single, pair = (recipe(resources={"workers": number}) for number in (1, 2))
    one, two = (forecast_time(LLAMA_8B, of, here, full_rows(of, 8), Efficiency()) for of in (single, pair))
    assert 1.0 < two.compute / one.compute < 1.3


def test_rented_machines_start_first() -> None:
    of, with_gpu = recipe(), machine(H100)
    rented = forecast_time(LLAMA_8B, of, Placement(with_gpu, 1, "spot"), full_rows(of, 8), Efficiency())
    assert rented.boot == pytest.approx(120 + 16e9 / 2e8, rel=0.01)
    assert forecast().boot == 0


def test_evaluation_grows_with_rows_and_answers() -> None:
    def seconds(rows: int, **decoding: Any) -> float:
        of = recipe(evaluate={"decoding": decoding, "prompts": {"few_shot": []}, "max_test_rows": None})
        part = {"rows": 64, "examples": 64, "tokens": 6400, "label_tokens": 1600, "squared_lengths": 640_000}
        held_out = {"rows": rows, "examples": rows, "tokens": 100 * rows, "label_tokens": 25 * rows}
        workload = workload_of({"parts": {"train": part, "test": held_out}}, of)
        return forecast_time(LLAMA_8B, of, owned(machine(H100)), workload, Efficiency()).evaluation

    assert seconds(0) == 0
    few, more, most = (seconds(rows, max_new_tokens=128) for rows in (16, 32, 48))
    assert most - more == pytest.approx(more - few)  # one batch of 16 answers, of base and tuned model
    # A position of an 8B model cannot be faster than reading 16 GB at 3.35 TB/s.
    assert more - few > 2 * 128 * 16e9 / 3.35e12
    longer = seconds(32, max_new_tokens=256) - seconds(16, max_new_tokens=256)
    assert longer > 1.7 * (more - few)


def test_measured_rates_are_kept_and_preferred(tmp_path: Path) -> None:
    here = machine(cpus=2)
    rates = replace(assumed_rates(here, "lora"), origin="measured", date=date(2026, 11, 1), flops=7e10, source="here")
    assert load_efficiency(tmp_path) == Efficiency()
    save_efficiency(Efficiency().add([replace(rates, flops=1e9)]).add([rates]), tmp_path / "home")
    known = load_efficiency(tmp_path / "home")
    assert known.measured == (rates,)
    assert known.rates(here, "lora", "float32") == rates
    assert known.rates(here, "full").source == "here, with lora"
    assert known.rates(here, "lora", "bfloat16").origin == "assumed"
    assert known.rates(machine(H100), "lora").origin == "assumed"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[]", "TypeError: list indices must be integers or slices, not str"),
        ('{"format": 9}', "ValueError: it is of format 9"),
        ('{"format": 1}', "KeyError: 'measured'"),
        ('{"format": 1, "measured": [{"date": "soon"}]}', "ValueError: Invalid isoformat string: 'soon'"),
    ],
)
def test_a_damaged_calibration_is_told_of(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(PlanError) as told:
        load_efficiency(tmp_path)
    assert told.value.what == f"the calibration cannot be read ({what})"
    assert told.value.where == str(path)
    assert told.value.fix == "remove the file, then measure again: tunesmith plan RECIPE --calibrate"


def test_a_rate_of_nothing_is_refused(tmp_path: Path) -> None:
    rates = replace(assumed_rates(machine(), "lora"), flops=0.0)
    save_efficiency(Efficiency((rates,)), tmp_path)
    with pytest.raises(PlanError, match="'flops' is 0"):
        load_efficiency(tmp_path)
