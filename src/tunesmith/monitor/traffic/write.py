"""Files of the traffic log: written, put together, deleted."""

from __future__ import annotations

import hashlib
import secrets
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from io import BytesIO

from tunesmith.monitor.traffic.place import Place
from tunesmith.monitor.traffic.read import DamagedFile, in_order, read_file
from tunesmith.monitor.traffic.rows import TrafficRow, hour_of, table_of
from tunesmith.registry.check import check_name
from tunesmith.store.home import Home

SETTLED = timedelta(minutes=10)
"""An hour's files are put together when it has been over for so long."""

LOOK_BACK = timedelta(hours=48)
"""How far back files are put together; what a gateway brings later than that stays as it is."""

SMALL, TOGETHER = 8 * 2**20, 64 * 2**20
"""Files below the first size are put together, up to the second at a time: it is memory of a gateway."""


def write_traffic(home: Home, rows: Iterable[TrafficRow]) -> list[str]:
    """Write rows, one file for each name and hour; returns their paths. Raises StoreError."""
    return write_rows(Place(home), rows, f"{secrets.token_hex(8)}.parquet")


def write_rows(place: Place, rows: Iterable[TrafficRow], file: str) -> list[str]:
    """Write rows under a file name of one's own. The same rows under the same name again change nothing."""
    by_folder: dict[str, list[TrafficRow]] = defaultdict(list)
    for row in rows:
        by_folder[f"{check_name(row.name)}/{hour_of(row.at)}"].append(row)
    paths = []
    for folder, some in by_folder.items():
        place.write(f"{folder}/{file}", parquet_of(table_of(some)))
        paths.append(f"{folder}/{file}")
    return paths


def parquet_of(table: object) -> bytes:
    """A table as a Parquet file."""
    import pyarrow.parquet as pq

    out = BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def delete_old(place: Place, retention_days: int, now: datetime) -> int:
    """Delete the days that are older than `retention_days`; returns how many. Raises StoreError.

    A day goes as a whole, when its last moment is too old.
    """
    oldest = f"{now.astimezone(UTC) - timedelta(days=retention_days):date=%Y-%m-%d}"
    num_deleted = 0
    for name in place.folders(""):
        for day in place.folders(name):
            # Only what the log itself makes is ever deleted.
            if len(day) == len(oldest) and day.startswith("date=") and day < oldest:
                place.remove(f"{name}/{day}")
                num_deleted += 1
    return num_deleted


def put_together(place: Place, now: datetime) -> int:
    """Make one file of the small ones of each hour that is over; returns how many were replaced. Raises StoreError.

    The new file is whole before the old ones go, and is named by what it is made of: of two gateways that do this at
    once neither loses a row, and readers count each once.
    """
    now, num_replaced = now.astimezone(UTC), 0
    for name in place.folders(""):
        for back in range(int(LOOK_BACK / timedelta(hours=1)), 0, -1):
            began = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=back)
            if began + timedelta(hours=1) + SETTLED <= now:
                num_replaced += _one_of(place, f"{name}/{hour_of(began)}")
    return num_replaced


def _one_of(place: Place, folder: str) -> int:
    place.sweep(folder)
    paths, tables, size = [], [], 0
    for path, more in place.files(folder).items():
        if more < SMALL and size + more <= TOGETHER:
            # A damaged file stays, for whoever reads it to say so.
            with suppress(DamagedFile):
                try:
                    tables.append(read_file(place, path))
                except FileNotFoundError:
                    return 0  # another gateway is at it
                paths.append(path)
                size += more
    if len(paths) < 2:
        return 0
    made = f"{folder}/hour-{hashlib.sha256(chr(0).join(paths).encode()).hexdigest()[:16]}.parquet"
    place.write(made, parquet_of(in_order(tables)))
    for path in paths:
        place.remove(path)
    return len(paths)
