"""Packed rows as text, with what is learnt told from what is only shown to the model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from tunesmith.data.dataset import Dataset


@dataclass(frozen=True)
class ShownPiece:
    """A run of tokens alike: their text, how many they are, and the weight of their loss (0: none)."""

    text: str
    num_tokens: int
    weight: float


@dataclass(frozen=True)
class ShownDocument:
    """One conversation of a packed row and the place it came from."""

    where: str
    num_tokens: int
    pieces: tuple[ShownPiece, ...]


@dataclass(frozen=True)
class ShownRow:
    """One packed row; `number` counts from 0."""

    number: int
    num_tokens: int
    num_labels: int
    documents: tuple[ShownDocument, ...]


def shown_rows(dataset: Dataset, tokenizer: Any, part: str, numbers: Iterable[int]) -> list[ShownRow]:
    """Decode some packed rows of a part. A character cut by the edge of a run shows as U+FFFD."""
    rows, places = dataset.rows(part), _places(dataset, part)
    shown, document = [], 0
    wanted = set(numbers)
    for number, num_documents in enumerate(places.num_documents):
        if number in wanted:
            row = rows[number]
            weights = np.zeros(len(row.input_ids), np.float32)
            weights[row.label_positions] = row.label_weights
            edges = np.cumsum([0, *row.document_lengths.tolist()]).tolist()
            documents = tuple(
                ShownDocument(
                    places.of(document + index),
                    end - start,
                    _pieces(row.input_ids[start:end], weights[start:end], tokenizer),
                )
                for index, (start, end) in enumerate(pairwise(edges))
            )
            shown.append(ShownRow(number, len(row.input_ids), len(row.label_positions), documents))
        document += num_documents
    return shown


def _pieces(ids: np.ndarray, weights: np.ndarray, tokenizer: Any) -> tuple[ShownPiece, ...]:
    edges = [0, *(np.flatnonzero(np.diff(weights)) + 1).tolist(), len(ids)]
    return tuple(
        ShownPiece(tokenizer.decode(ids[start:end].tolist()), end - start, float(weights[start]))
        for start, end in pairwise(edges)
        if end > start
    )


class _places:
    """Where the documents of a part came from, in the order in which they are packed."""

    def __init__(self, dataset: Dataset, part: str) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        lists = [
            chunk
            for path in sorted(dataset.folder.glob(f"{part}-[0-9]*.parquet"))
            for chunk in pq.read_table(path, columns=["examples"]).column(0).chunks
        ]
        column = pa.chunked_array(lists, pa.list_(pa.int64()))
        self.num_documents: list[int] = pc.list_value_length(column).to_pylist()
        # Numbers are those of all rows read; the file of this part's examples keeps their order.
        self.order = np.argsort(np.argsort(pc.list_flatten(column).to_numpy()))
        self.table = pq.read_table(dataset.folder / f"{part}-examples.parquet", columns=["file", "line"])

    def of(self, document: int) -> str:
        place = int(self.order[document])
        return f"{self.table.column('file')[place]}:{self.table.column('line')[place]}"
