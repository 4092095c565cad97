"""What reading leaves on disk until the split is known: conversations, token ids, trained spans.

Flat binary files beside an Arrow file, so that memory holds a batch and nothing that grows with the number of rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.data.example import BadRow, Example, Origin
from tunesmith.data.render import Rendered
from tunesmith.data.split import PARTS

UNASSIGNED = -1
SPAN = np.dtype([("row", "<i8"), ("start", "<i4"), ("end", "<i4"), ("weight", "<f4")])


class Spool:
    """Rows in the order they were read. Write first, `close`, then read.

    After `close`: `lengths` (rows,) tokens of each conversation, `starts` (rows,) where its ids begin in `ids`, `spans`
    the trained spans sorted by row, `given` (rows,) the part a row belongs to by its source or its own word.
    """

    def __init__(self, folder: Path) -> None:
        import pyarrow as pa

        self.folder = folder
        self.schema = pa.schema(
            [("part", pa.int8()), ("messages", pa.string()), ("tools", pa.string()), ("label", pa.string()),
             ("file", pa.string()), ("line", pa.int64())]
        )  # fmt: skip
        self._examples = pa.ipc.new_file(folder / "examples.arrow", self.schema)
        self._files = {name: (folder / name).open("wb") for name in ("ids", "lengths", "spans")}
        self._bad = (folder / "bad.jsonl").open("w", encoding="utf-8")
        self.num_rows = 0
        self.num_tokenised = 0
        self.num_bad = 0

    def add_examples(self, examples: Sequence[Example], part: str) -> None:
        """Append conversations; a row that names its own split counts there."""
        import pyarrow as pa

        columns = [
            [PARTS.index(example.split or part) for example in examples],
            [dumps(example.messages) for example in examples],
            [dumps(example.tools) if example.tools else None for example in examples],
            [example.label for example in examples],
            [example.origin.file for example in examples],
            [example.origin.line for example in examples],
        ]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self.schema, strict=True)]
        self._examples.write_batch(pa.record_batch(arrays, schema=self.schema))
        self.num_rows += len(examples)

    def add_tokens(self, rendered: Sequence[Rendered]) -> None:
        """Append the token ids and spans of the next rows."""
        ids = np.fromiter((token for row in rendered for token in row.ids), "<i4")
        lengths = np.fromiter((len(row.ids) for row in rendered), "<i4", len(rendered))
        spans = np.array(
            [(self.num_tokenised + i, *span) for i, row in enumerate(rendered) for span in row.spans], dtype=SPAN
        )
        for name, array in (("ids", ids), ("lengths", lengths), ("spans", spans)):
            self._files[name].write(array.tobytes())
        self.num_tokenised += len(rendered)

    def add_bad(self, rows: Sequence[BadRow], part: str) -> None:
        """Append rows that are no conversations."""
        for row in rows:
            record = {"part": part, "file": row.origin.file, "line": row.origin.line, "what": row.what, "fix": row.fix}
            self._bad.write(json.dumps(record) + "\n")
        self.num_bad += len(rows)

    def close_examples(self) -> None:
        """End the writing of conversations; tokens may still follow."""
        import pyarrow as pa

        self._examples.close()
        self._bad.close()
        self._mapped = pa.ipc.open_file(pa.memory_map(str(self.folder / "examples.arrow")))

    def close(self) -> None:
        """End the writing and map what was written."""
        for file in self._files.values():
            file.close()
        self.lengths = _mapped(self.folder / "lengths", "<i4")
        self.starts = np.cumsum(self.lengths, dtype=np.int64) - self.lengths
        self.ids = _mapped(self.folder / "ids", "<i4")
        self.spans = _mapped(self.folder / "spans", SPAN)
        parts = [self._mapped.get_batch(i).column(0).to_numpy() for i in range(self._mapped.num_record_batches)]
        self.given = np.concatenate(parts) if parts else np.zeros(0, np.int8)

    def batches(self) -> Iterator[Any]:
        """The conversations as Arrow record batches, in order."""
        for index in range(self._mapped.num_record_batches):
            yield self._mapped.get_batch(index)

    def examples(self, part: int) -> Iterator[Example | BadRow]:
        """The conversations of a given part, in order, then its bad rows."""
        for batch in self.batches():
            for row in batch.filter(_equal(batch.column(0), part)).to_pylist():
                yield to_example(row)
        with (self.folder / "bad.jsonl").open(encoding="utf-8") as lines:
            for record in map(json.loads, lines):
                if PARTS.index(record["part"]) == part:
                    yield BadRow(Origin(record["file"], record["line"]), record["what"], record["fix"])

    def label_numbers(self) -> np.ndarray | None:
        """(rows,) a small number for each label, in the order of their names; None when there are no labels."""
        import pyarrow as pa

        column = pa.chunked_array([batch.column(3) for batch in self.batches()], pa.string())
        if column.null_count == len(column):
            return None
        names = sorted(name for name in column.unique().to_pylist() if name is not None)
        numbers = pa.compute.index_in(column, pa.array(names)).fill_null(len(names))
        return np.asarray(numbers.combine_chunks()).astype(np.int64)


def to_example(row: dict[str, Any]) -> Example:
    """A conversation from its stored columns."""
    tools = loads(row["tools"]) if row["tools"] else None
    return Example(loads(row["messages"]), Origin(row["file"], row["line"]), tools, row["label"])


def dumps(value: Any) -> str:
    """JSON text, non-ASCII as it is."""
    import orjson

    return orjson.dumps(value).decode()


def loads(text: str) -> Any:
    """The value of JSON text."""
    import orjson

    return orjson.loads(text)


def _equal(column: Any, value: int) -> Any:
    import pyarrow.compute as pc

    return pc.equal(column, value)


def _mapped(path: Path, dtype: Any) -> np.ndarray:
    return np.memmap(path, dtype, "r") if path.stat().st_size else np.zeros(0, dtype)
