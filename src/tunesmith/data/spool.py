"""What reading leaves on disk until the split is known: conversations, token ids, trained spans.

Flat binary files beside an Arrow file, so that memory holds a batch and a few numbers a row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.data.example import BadRow, Example, Origin
from tunesmith.data.render import Rendered
from tunesmith.data.split import PARTS

UNASSIGNED = -1
SPAN = np.dtype([("start", "<i4"), ("end", "<i4"), ("weight", "<f4")])
FILES = {"ids": "<i4", "lengths": "<i4", "spans": SPAN, "num_spans": "<i4", "keys": "<u8", "decided": "?"}


class Spool:
    """Rows in the order they were read. Write first, `close`, then read.

    After `close`, (rows,) each: `lengths` tokens of a conversation, `starts` where its ids begin in `ids`, `num_spans`
    and `span_starts` its trained spans in `spans`, `given` the part of its source or the one it names, `decided`
    whether it names one, `keys` a hash of what it says.
    """

    def __init__(self, folder: Path) -> None:
        import pyarrow as pa

        self.folder = folder
        self.schema = pa.schema(
            [("part", pa.int8()), ("messages", pa.string()), ("tools", pa.string()), ("label", pa.string()),
             ("file", pa.string()), ("line", pa.int64())]
        )  # fmt: skip
        self._examples = pa.ipc.new_file(folder / "examples.arrow", self.schema)
        self._files = {name: (folder / name).open("wb") for name in FILES}
        self._bad = (folder / "bad.jsonl").open("w", encoding="utf-8")
        self.num_rows = 0
        self.num_tokenised = 0
        self.num_bad = 0

    def add_examples(self, examples: Sequence[Example], part: str) -> None:
        """Append conversations; a row that names its own split counts there."""
        import pyarrow as pa

        columns: list[list[Any]] = [
            [PARTS.index(example.split or part) for example in examples],
            [dumps(example.messages) for example in examples],
            [dumps(example.tools) if example.tools else None for example in examples],
            [example.label for example in examples],
            [example.origin.file for example in examples],
            [example.origin.line for example in examples],
        ]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self.schema, strict=True)]
        self._examples.write_batch(pa.record_batch(arrays, schema=self.schema))
        keys = b"".join(map(_key, columns[1], columns[2]))
        self._append("keys", np.frombuffer(keys, "<u8"))
        self._append("decided", np.array([example.split is not None for example in examples], bool))
        self.num_rows += len(examples)

    def add_tokens(self, rendered: Sequence[Rendered]) -> None:
        """Append the token ids and spans of the next rows."""
        self.add_arrays(*flat(rendered))

    def add_arrays(self, ids: np.ndarray, lengths: np.ndarray, spans: np.ndarray, num_spans: np.ndarray) -> None:
        """The same, already flat: `ids` (tokens,), `lengths` (rows,), `spans` (spans,) of SPAN, `num_spans` (rows,)."""
        for name, array in (("ids", ids), ("lengths", lengths), ("spans", spans), ("num_spans", num_spans)):
            self._append(name, array)
        self.num_tokenised += len(lengths)

    def _append(self, name: str, array: np.ndarray) -> None:
        self._files[name].write(np.ascontiguousarray(array, FILES[name]).tobytes())

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
        mapped = {name: _mapped(self.folder / name, dtype) for name, dtype in FILES.items()}
        self.ids, self.lengths, self.spans = mapped["ids"], mapped["lengths"], mapped["spans"]
        self.num_spans, self.keys, self.decided = mapped["num_spans"], mapped["keys"], mapped["decided"]
        self.starts = np.cumsum(self.lengths, dtype=np.int64) - self.lengths
        self.span_starts = np.cumsum(self.num_spans, dtype=np.int64) - self.num_spans
        parts = [batch.column(0).to_numpy() for batch in self.batches()]
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

    def places(self, rows: np.ndarray) -> list[str]:
        """File and line of some rows, ascending."""
        places: list[str] = []
        offset = 0
        for batch in self.batches():
            inside = np.sort(rows[(rows >= offset) & (rows < offset + len(batch))]) - offset
            places += [f"{batch.column('file')[row]}:{batch.column('line')[row]}" for row in inside.tolist()]
            offset += len(batch)
        return places

    def label_numbers(self) -> np.ndarray | None:
        """(rows,) a small number for each label, in the order of their names; None when there are no labels."""
        import pyarrow as pa
        import pyarrow.compute as pc

        names: set[str | None] = set()
        for batch in self.batches():
            names.update(batch.column("label").unique().to_pylist())
        known = pa.array(sorted(name for name in names if name is not None), pa.string())
        if not len(known):
            return None
        numbers = [pc.index_in(batch.column("label"), known).fill_null(len(known)) for batch in self.batches()]
        return np.concatenate([chunk.to_numpy() for chunk in numbers]).astype(np.int64)


def flat(rendered: Sequence[Rendered]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What `Spool.add_arrays` takes: ids, lengths, spans, num_spans."""
    return (
        np.array(list(chain.from_iterable(row.ids for row in rendered)), "<i4"),
        np.array([len(row.ids) for row in rendered], "<i4"),
        np.array(list(chain.from_iterable(row.spans for row in rendered)), SPAN),
        np.array([len(row.spans) for row in rendered], "<i4"),
    )


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


def _key(messages: str, tools: str | None) -> bytes:
    return hashlib.blake2b(f"{messages}\n{tools or ''}".encode(), digest_size=8).digest()


def _equal(column: Any, value: int) -> Any:
    import pyarrow.compute as pc

    return pc.equal(column, value)


def _mapped(path: Path, dtype: Any) -> np.ndarray:
    return np.memmap(path, dtype, "r") if path.stat().st_size else np.zeros(0, dtype)
