"""A Llama of 150,000 random weights and dataset versions for it, small enough to train for real in a unit test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

VOCABULARY = 97


@dataclass(frozen=True)
class Document:
    """A conversation: its tokens, the positions of the learnt ones, and their weights."""

    ids: list[int]
    positions: list[int]
    weights: list[float]


def make_document(rng: np.random.Generator, length: int, *, weighted: bool = False) -> Document:
    """Random tokens with a pattern that can be learnt; the last part is the answer."""
    start = int(rng.integers(VOCABULARY))
    ids = [(start + 3 * place + int(rng.integers(2))) % VOCABULARY for place in range(length)]
    positions = sorted(rng.choice(np.arange(1, length), max(1, length // 3), replace=False).tolist())
    weights = rng.choice([0.25, 0.5, 1.0, 2.0], len(positions)).tolist() if weighted else [1.0] * len(positions)
    return Document(ids, positions, weights)


def make_rows(seed: int, num_rows: int, *, weighted: bool = False, most: int = 4) -> list[list[Document]]:
    """Packed rows of one to `most` documents of 4 to 40 tokens."""
    rng = np.random.default_rng(seed)
    return [
        [make_document(rng, int(rng.integers(4, 40)), weighted=weighted) for _ in range(rng.integers(1, most + 1))]
        for _ in range(num_rows)
    ]


def write_dataset(folder: Path, **parts: Sequence[Sequence[Document]]) -> Path:
    """Write a dataset version of these rows, as `tunesmith.data.prepare` would."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tunesmith.data.shards import row_schema

    folder.mkdir(parents=True)
    for part in ("train", "validation", "test"):
        rows = parts.get(part, ())
        if rows:
            table = pa.Table.from_pylist([_row(row) for row in rows], schema=row_schema())
            pq.write_table(table, folder / f"{part}-00000.parquet")
    (folder / "manifest.json").write_text(json.dumps({"version": "tiny", "parts": {}}), encoding="utf-8")
    return folder


def _row(documents: Sequence[Document]) -> dict[str, Any]:
    starts = np.cumsum([0, *(len(document.ids) for document in documents)])
    return {
        "input_ids": [token for document in documents for token in document.ids],
        "document_lengths": [len(document.ids) for document in documents],
        "label_positions": [
            int(start) + position
            for start, document in zip(starts, documents, strict=False)
            for position in document.positions
        ],
        "label_weights": [weight for document in documents for weight in document.weights],
        "examples": list(range(len(documents))),
    }


def write_model(folder: Path, largest_file: str = "1GB", stored: str = "float32", **changes: Any) -> Path:
    """Save a Llama with random weights, 3 layers of width 64, 4 heads that share 2 keys; `stored` is their type."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.1,
        "bos_token_id": None,
        "eos_token_id": 0,
        "dtype": "float32",
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        model = LlamaForCausalLM(LlamaConfig(**{**settings, **changes})).to(getattr(torch, stored))
        model.save_pretrained(folder, max_shard_size=largest_file)
    return folder


def make_job(run: Path, model: Path, dataset: Path, train: Mapping[str, Any] | None = None, **sections: Any) -> Any:
    """A job over these folders; float32 and one thread unless `train` says otherwise."""
    from tunesmith.recipe.schema import Recipe
    from tunesmith.train.job import TrainJob

    run.mkdir(parents=True, exist_ok=True)
    recipe = Recipe.model_validate(
        {
            "name": "tiny",
            "model": {"source": str(model)},
            "data": {"train": "rows.jsonl"},
            "method": {"rank": 4, "alpha": 8.0},
            "train": {"sequence_length": 160, "precision": "float32", "learning_rate": 5e-3, **(train or {})},
            **sections,
        }
    )
    return TrainJob(
        recipe=recipe.model_dump(mode="json"),
        run_folder=str(run),
        dataset_folder=str(dataset),
        model_folder=str(model),
        model_source="tiny",
        identity={"dataset": "tiny"},
        threads=1,
        cache_folder=str(run.parent / "cache"),
    )
