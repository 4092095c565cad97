"""The loop on a GPU against the same loop on the CPU, and what its memory holds against what was said before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig

from tests.unit.train import tiny
from tunesmith.train import loop
from tunesmith.train.explain.explanation import explain
from tunesmith.train.job import TrainJob
from tunesmith.train.sinks import read_events

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here"),
]

LENGTH, VOCABULARY = 2048, 32000
LARGE = {
    "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 12, "num_attention_heads": 16,
    "num_key_value_heads": 8, "vocab_size": VOCABULARY, "max_position_embeddings": LENGTH, "initializer_range": 0.02,
}  # fmt: skip
METHODS: dict[str, dict[str, Any]] = {"lora": {"rank": 16}, "full": {"type": "full"}}
SAVINGS: dict[str, dict[str, Any]] = {
    "nothing saved": {},
    "checkpointing": {"gradient_checkpointing": True},
    "offload": {"activation_offload": True},
    "chunked loss": {"chunked_loss": True},
}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven hundred million weights in bfloat16."""
    return tiny.write_model(tmp_path_factory.mktemp("large") / "model", stored="bfloat16", **LARGE)


@pytest.fixture(scope="module")
def full_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of one document each, as long as a row may be, all of whose tokens but the first are learnt."""
    rng = np.random.default_rng(5)
    ids = [rng.integers(VOCABULARY, size=LENGTH).tolist() for _ in range(8)]
    rows = [[tiny.Document(one, list(range(1, LENGTH)), [1.0] * (LENGTH - 1))] for one in ids]
    return tiny.write_dataset(tmp_path_factory.mktemp("rows") / "full", train=rows)


def steps(job: TrainJob) -> list[dict[str, Any]]:
    return [event for event in read_events(job.folder) if event["event"] == "step"]


@pytest.mark.parametrize("method", METHODS)
def test_losses_are_those_of_the_cpu(tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.write_model(tmp_path / "model")
    rows = tiny.write_dataset(tmp_path / "rows", train=tiny.make_rows(1, 12, weighted=True))
    train = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3}
    jobs = [tiny.make_job(tmp_path / name, model, rows, train, method=METHODS[method]) for name in ("gpu", "cpu")]
    loop.Loop(jobs[0]).run()
    monkeypatch.setattr(loop, "choose_device", lambda: torch.device("cpu"))
    loop.Loop(jobs[1]).run()
    ours, theirs = ([event["train_loss"] for event in steps(job)] for job in jobs)
    assert len(ours) == 6
    assert ours == pytest.approx(theirs, abs=1e-4)


@pytest.mark.parametrize("saving", SAVINGS)
def test_memory_is_about_what_was_said(tmp_path: Path, large: Path, full_rows: Path, saving: str) -> None:
    """What is needed only for a moment is not in what is said: it may be a third of that, and never less."""
    train = {"max_steps": 4, "batch_size": 2, "micro_batch_tokens": LENGTH, "sequence_length": LENGTH}
    train |= {"precision": "bfloat16", **SAVINGS[saving]}
    job = tiny.make_job(tmp_path / "run", large, full_rows, train, resources={"gpus_per_worker": 1})
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    loop.Loop(job).run()
    peak = torch.cuda.max_memory_allocated()
    said = explain(job.load_recipe(), AutoConfig.from_pretrained(large), "here").peak
    speed = steps(job)[-1]["tokens_per_second"]
    print(f"{saving}: {peak / 2**30:.2f} GiB, said {said / 2**30:.2f}; {speed:,.0f} tokens/s")
    assert 0.9 * said < peak < 1.33 * said
