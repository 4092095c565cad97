"""Models and rows to measure with: the recipe's architecture with few layers and random weights, random tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.models.quiet import quiet_libraries
from tunesmith.plan.shape import ModelShape, shape_of
from tunesmith.plan.time.workload import Part, Workload, workload_of
from tunesmith.recipe.schema import Recipe
from tunesmith.train.job import TrainJob

STEPS = 6
"""Optimizer steps of one measurement; the first makes room for everything and is not counted."""

MOST_TOKENS = 32_768
"""Of a stand-in's vocabulary: the head's time is known from its size, and a large one only takes memory."""

LABELS = 3
"""Every third token is learnt."""


@dataclass(frozen=True)
class Trial:
    """What one measurement trains: so many layers, the widths divided by `thinner`, one micro-batch of so many tokens
    a step, in documents of `document` tokens; `checkpointing` as in the recipe's key."""

    layers: int
    thinner: int
    tokens: int
    document: int
    checkpointing: bool = False


@dataclass(frozen=True)
class StandIn:
    """A trial laid out in a folder: the job that the loop runs, and what plans are made from."""

    trial: Trial
    shape: ModelShape
    recipe: Recipe
    job: TrainJob

    @property
    def workload(self) -> Workload:
        """What its steps read."""
        manifest = json.loads((Path(self.job.dataset_folder) / "manifest.json").read_text(encoding="utf-8"))
        return workload_of(manifest, self.recipe)


def thinned(config: Any, trial: Trial) -> dict[str, Any]:
    """The config of a trial's model: fewer key heads, each with as many query heads as before, so that every width is
    that much smaller and a multiple of 64 still."""
    values = dict(config.get_text_config().to_dict())
    heads, shared = values["num_attention_heads"], values.get("num_key_value_heads") or values["num_attention_heads"]
    fewer = max(1, shared // trial.thinner)
    ratio = fewer / shared
    width = values.get("head_dim") or values["hidden_size"] // heads
    values |= {
        "num_hidden_layers": trial.layers,
        "num_key_value_heads": fewer,
        "num_attention_heads": heads // shared * fewer,
        "hidden_size": max(64, round(values["hidden_size"] * ratio / 64) * 64),
        "intermediate_size": max(64, round(values["intermediate_size"] * ratio / 64) * 64),
        "vocab_size": min(values["vocab_size"], MOST_TOKENS),
        "head_dim": width,
        "bos_token_id": None,
        "eos_token_id": 0,
        "pad_token_id": None,
        "layer_types": (values.get("layer_types") or [])[: trial.layers] or None,
    }
    if trial.thinner == 1:
        values["hidden_size"] = config.get_text_config().hidden_size
        values["intermediate_size"] = config.get_text_config().intermediate_size
    return {key: value for key, value in values.items() if not (key == "layer_types" and value is None)}


def lay_out(folder: Path, recipe: Recipe, config: Any, trial: Trial, dtype: str, threads: int, workers: int) -> StandIn:
    """Write model and rows into a folder, enough for STEPS steps of so many workers, and the job to train with them."""
    model, rows = folder / "model", folder / "rows"
    values = _save_model(model, config, trial, dtype)
    write_rows(rows, trial, int(values["vocab_size"]), STEPS * workers)
    settings = {
        **recipe.train.model_dump(mode="json", exclude={"batch_tokens", "early_stopping"}),
        "sequence_length": max(16, trial.tokens), "packing": True, "epochs": 1.0, "max_steps": STEPS, "warmup": 0,
        "batch_size": workers, "micro_batch_tokens": max(16, trial.tokens), "checkpoint_every": 1_000_000,
        "precision": dtype, "gradient_checkpointing": trial.checkpointing, "on_spike": "ignore",
    }  # fmt: skip
    method = recipe.method if recipe.method.has_adapter else recipe.method.model_copy(update={"layers": "all"})
    made = Recipe.model_validate(
        {
            "name": "calibration",
            "model": {"source": str(model), "trust_remote_code": recipe.model.trust_remote_code},
            "data": {"train": "rows.jsonl"},
            "method": method.model_dump(mode="json"),
            "train": settings,
            "resources": {"workers": workers},
        }
    )
    run = folder / "run"
    run.mkdir()
    job = TrainJob(
        recipe=made.model_dump(mode="json"), run_folder=str(run), dataset_folder=str(rows), model_folder=str(model),
        model_source="stand-in", identity={"calibration": str(folder)}, threads=threads,
        cache_folder=str(folder / "cache"),
    )  # fmt: skip
    return StandIn(trial, shape_of(values), made, job)


def _save_model(folder: Path, config: Any, trial: Trial, dtype: str) -> dict[str, Any]:
    import torch
    from transformers import AutoModelForCausalLM

    values = thinned(config, trial)
    with quiet_libraries(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(type(config.get_text_config())(**values), dtype=getattr(torch, dtype))
        model.save_pretrained(folder)
    return values


def write_rows(folder: Path, trial: Trial, vocabulary: int, num_rows: int) -> None:
    """A dataset version of random tokens with a training part alone."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tunesmith.data.shards import row_schema

    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    lengths = [trial.document] * (trial.tokens // trial.document)
    if trial.tokens > sum(lengths) + 3:
        lengths.append(trial.tokens - sum(lengths))
    starts = np.cumsum([0, *lengths[:-1]])
    total = sum(lengths)
    positions = [
        int(start) + place for start, length in zip(starts, lengths, strict=True) for place in range(1, length, LABELS)
    ]
    rows = [
        {
            "input_ids": generator.integers(1, vocabulary, total).tolist(),
            "document_lengths": lengths,
            "label_positions": positions,
            "label_weights": [1.0] * len(positions),
            "examples": list(range(len(lengths))),
        }
        for _ in range(num_rows)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=row_schema()), folder / "train-00000.parquet")
    counts = Part(1, len(lengths), total, len(positions), sum(length**2 for length in lengths)).times(num_rows)
    part = {
        "rows": num_rows, "examples": int(counts.documents), "tokens": int(counts.tokens),
        "label_tokens": int(counts.labels), "squared_lengths": int(counts.squares),
    }  # fmt: skip
    manifest = {"version": "calibration", "split_seed": 0, "parts": {"train": part}}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
