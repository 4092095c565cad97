"""A calibration with real steps, on Ray too: what it keeps, and that it comes near steps it has not seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith.plan.hardware import Machine, Placement
from tunesmith.plan.time import forecast_time, load_efficiency
from tunesmith.recipe.load import load_recipe
from tunesmith.run.calibrate import calibrate
from tunesmith.run.stand_in import Trial, lay_out
from tunesmith.store.home import Home
from tunesmith.train.loop import Loop
from tunesmith.train.sinks import read_events

WIDTHS = {
    "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 8, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 512, "max_position_embeddings": 2048,
}  # fmt: skip


@pytest.mark.slow
def test_measured_rates_forecast_other_steps(tmp_path: Path) -> None:
    from rich.console import Console
    from transformers import LlamaConfig

    config = LlamaConfig(**WIDTHS)
    config.save_pretrained(tmp_path / "model")
    recipe = tmp_path / "recipe.yaml"
    values = {"name": "a", "model": {"source": "model"}, "data": {"train": "rows.jsonl"}}
    recipe.write_text(json.dumps({**values, "train": {"precision": "float32", "micro_batch_tokens": 256}}))
    home = Home(tmp_path / "home", "sqlite://", str(tmp_path / "artefacts"))
    # As a machine of one core: threads that share busy cores wait for each other, and measure that.
    machine = Machine("owned", "this", "", None, 0, 1, 1 << 34, 1e9, ())
    loaded = load_recipe(recipe)
    known = calibrate(loaded, home, Console(stderr=True, quiet=True), machine)

    assert known == load_efficiency(home.folder)
    assert [path.name for path in home.folder.iterdir()] == ["calibration.json"]
    (rates,) = known.measured
    assert (rates.hardware, rates.method, rates.computes_in) == (machine.key, "lora", "float32")
    assert rates.origin == "measured" and "torch 2." in rates.source
    assert 5 < rates.start_up < 300  # Ray does not start in less, however fast the machine

    other = lay_out(tmp_path / "other", loaded.recipe, config, Trial(5, 1, 384, 96), "float32", 1, 1)
    Loop(other.job).run()
    seconds = [event["seconds"] for event in read_events(other.job.folder) if event["event"] == "step"][1:]
    forecast = forecast_time(other.shape, other.recipe, Placement(machine, 1, "owned"), other.workload, known)
    # A busy machine may have been twice as fast a moment ago; benchmarks/plan_time.py asks for more on a quiet one.
    assert 0.4 < forecast.compute / forecast.steps / min(seconds) < 4
