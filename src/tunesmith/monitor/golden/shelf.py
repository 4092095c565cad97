"""Where golden sets are kept: files that are added and never changed, `golden/NAME/` under the artefacts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

from tunesmith.errors import StoreError
from tunesmith.monitor.golden.row import GoldenRow
from tunesmith.monitor.traffic.place import Place
from tunesmith.registry.check import check_name
from tunesmith.store.home import Home

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "golden"
TOUCHED = "a golden row is never changed: take the file away; a base is then copied anew from its dataset version"


class Shelf:
    """The golden rows of one name: one file for the test rows of each dataset version, one for each time rows came."""

    def __init__(self, home: Home, name: str) -> None:
        self.name = check_name(name)
        self._place = Place(home, FOLDER)

    def add(self, rows: Iterable[GoldenRow]) -> list[GoldenRow]:
        """Keep rows that are not here yet; returns those. Raises StoreError."""
        known = {row.id for row in self.added()}
        by_id: dict[str, GoldenRow] = {}
        for row in rows:
            by_id.setdefault(row.id, row)
        fresh = [row for row in by_id.values() if row.id not in known]
        if fresh:
            digest = hashlib.sha256("".join(sorted(row.id for row in fresh)).encode()).hexdigest()[:16]
            day = max(row.added for row in fresh)
            self._place.write(f"{self.name}/added-{day:%Y-%m-%d}-{digest}.parquet", _written(fresh))
        return fresh

    def added(self) -> list[GoldenRow]:
        """What came since there is a set, oldest first, each row once. Raises StoreError for a changed file."""
        found: dict[str, GoldenRow] = {}
        for path in self._place.files(self.name):
            if path.rpartition("/")[2].startswith("added-"):
                for row in self._read(path):
                    if row.id not in found or row.added < found[row.id].added:
                        found[row.id] = row
        return sorted(found.values(), key=lambda row: (row.added, row.id))

    def base(self, dataset_version: str) -> list[GoldenRow] | None:
        """The test rows of a dataset version, if they were put here. Raises StoreError."""
        path = self._base(dataset_version)
        return self._read(path) if path in self._place.files(self.name) else None

    def keep_base(self, dataset_version: str, rows: list[GoldenRow]) -> None:
        """Put the test rows of a dataset version here, for good. Raises StoreError."""
        self._place.write(self._base(dataset_version), _written(rows))

    def _base(self, dataset_version: str) -> str:
        return f"{self.name}/base-{check_name(dataset_version)}.parquet"

    def _read(self, path: str) -> list[GoldenRow]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        where = f"{self._place.shown}/{FOLDER}/{path}"
        with self._place.open(path) as source:
            content = source.read()
        try:
            rows = pq.ParquetFile(pa.BufferReader(content)).read().to_pylist()
            found = [(_row(one), one["id"]) for one in rows]
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
            reason = (str(error).splitlines() or ["no reason given"])[0][:200]
            raise StoreError(f"golden rows cannot be read: {reason}", where=where, fix=TOUCHED) from None
        if any(row.id != written for row, written in found):
            raise StoreError("golden rows were changed after they were written", where=where, fix=TOUCHED)
        return [row for row, _ in found]


def _written(rows: Iterable[GoldenRow]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kept = list(rows)
    table: pa.Table = pa.table(
        {
            "id": pa.array([row.id for row in kept], pa.string()),
            "kind": pa.array([row.kind for row in kept], pa.string()),
            "messages": pa.array([json.dumps(row.messages) for row in kept], pa.string()),
            "tools": pa.array([json.dumps(row.tools) for row in kept], pa.string()),
            "added": pa.array([row.added for row in kept], pa.timestamp("us", tz="UTC")),
            "origin": pa.array([row.origin for row in kept], pa.string()),
        }
    )
    out = BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def _row(one: dict[str, Any]) -> GoldenRow:
    added: datetime = one["added"]
    messages, tools = json.loads(one["messages"]), json.loads(one["tools"])
    return GoldenRow(one["kind"], tuple(messages), added, one["origin"], tuple(tools))
