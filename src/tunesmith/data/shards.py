"""Packed rows as Parquet: what training reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.data.spool import Spool

SHARD_TOKENS = 16_000_000
GROUP_ROWS = 512
GROUP_TOKENS = 1 << 20
"""A row group holds this many tokens at most: very long rows must not fill the memory."""


def row_schema() -> Any:
    """Columns of a shard: one packed row each.

    `input_ids` (tokens,); `document_lengths` (documents,) adding up to them; `label_positions` (labels,) the positions
    in the row whose token is learnt, ascending; `label_weights` (labels,); `examples` (documents,) their row numbers.
    """
    import pyarrow as pa

    return pa.schema(
        [("input_ids", pa.list_(pa.int32())), ("document_lengths", pa.list_(pa.int32())),
         ("label_positions", pa.list_(pa.int32())), ("label_weights", pa.list_(pa.float32())),
         ("examples", pa.list_(pa.int64()))]
    )  # fmt: skip


def write_shards(spool: Spool, rows: Sequence[np.ndarray], limit: int, folder: Path, part: str) -> dict[str, int]:
    """Write the packed rows of one part; conversations are cut at `limit` tokens. Returns counts.

    Files are named `PART-00000.parquet`. The same rows give the same bytes.
    """
    import pyarrow.parquet as pq

    counts = {"rows": len(rows), "examples": 0, "tokens": 0, "label_tokens": 0, "squared_lengths": 0}
    writer, shard, tokens_in_shard = None, 0, 0
    group_rows = max(1, min(GROUP_ROWS, GROUP_TOKENS // limit))
    for start in range(0, len(rows), group_rows):
        table = _table(spool, rows[start : start + group_rows], limit)
        if writer is None or tokens_in_shard > SHARD_TOKENS:
            if writer is not None:
                writer.close()
            writer = pq.ParquetWriter(folder / f"{part}-{shard:05d}.parquet", table.schema, compression="zstd")
            shard, tokens_in_shard = shard + 1, 0
        writer.write_table(table, row_group_size=group_rows)
        sizes = {
            name: len(table.column(name).chunk(0).flatten()) for name in ("examples", "input_ids", "label_positions")
        }
        tokens_in_shard += sizes["input_ids"]
        for key, name in (("examples", "examples"), ("tokens", "input_ids"), ("label_tokens", "label_positions")):
            counts[key] += sizes[name]
        # What attention grows with, for plans.
        lengths = table.column("document_lengths").chunk(0).flatten().to_numpy().astype(np.int64)
        counts["squared_lengths"] += int((lengths * lengths).sum())
    if writer is not None:
        writer.close()
    return counts


def _table(spool: Spool, rows: Sequence[np.ndarray], limit: int) -> Any:
    """Gather the rows' ids and labels with a few numpy operations, whatever the number of conversations in them."""
    import pyarrow as pa

    documents = np.concatenate(rows)
    row_of = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    lengths = np.minimum(spool.lengths[documents], limit).astype(np.int64)
    ids = spool.ids[_ranges(spool.starts[documents], lengths)]
    row_tokens = np.bincount(row_of, lengths, len(rows)).astype(np.int64)
    begins = np.cumsum(lengths) - lengths - (np.cumsum(row_tokens) - row_tokens)[row_of]  # of documents, in their row

    num_spans = spool.num_spans[documents]
    spans = spool.spans[_ranges(spool.span_starts[documents], num_spans)]
    owner = np.repeat(np.arange(len(documents)), num_spans)
    # A document's first token follows nothing, so it cannot be learnt: the token before it is another document's.
    start = np.maximum(spans["start"], 1)
    end = np.minimum(spans["end"], lengths[owner])
    size = np.maximum(end - start, 0)
    positions = _ranges(begins[owner] + start, size)
    weights = np.repeat(spans["weight"], size)
    row_labels = np.bincount(row_of[owner], size, len(rows)).astype(np.int64)

    def lists(values: np.ndarray, sizes: np.ndarray, dtype: str) -> Any:
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.astype(dtype)))

    documents_in_row = np.bincount(row_of, minlength=len(rows))
    columns = [
        lists(ids, row_tokens, "int32"),
        lists(lengths, documents_in_row, "int32"),
        lists(positions, row_labels, "int32"),
        lists(weights, row_labels, "float32"),
        lists(documents, documents_in_row, "int64"),
    ]
    return pa.Table.from_arrays(columns, schema=row_schema())


def _ranges(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """starts [5, 9] and sizes [2, 3] -> [5, 6, 9, 10, 11]."""
    sizes = np.asarray(sizes, np.int64)
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(np.asarray(starts, np.int64) - (ends - sizes), sizes)
