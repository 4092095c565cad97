"""Rows of the traffic log between two moments."""

from __future__ import annotations

from collections.abc import Sequence, Set
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tunesmith.errors import StoreError
from tunesmith.monitor.traffic.place import Place
from tunesmith.monitor.traffic.rows import hour_of, schema
from tunesmith.registry.check import check_name
from tunesmith.store.home import Home

if TYPE_CHECKING:
    import pyarrow as pa

TRIES = 3
"""How often a listing is read whose files are put together meanwhile."""


ALWAYS = ("id", "at", "role", "version")
"""Columns by which rows are chosen, put in order and counted once."""


class DamagedFile(StoreError):
    """A file of the log is not Parquet, or not all of it."""


def read_traffic(
    home: Home,
    name: str,
    since: datetime | None = None,
    until: datetime | None = None,
    version: str | None = None,
    roles: Sequence[str] = ("live",),
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Rows of a registered name, `since` <= at < `until`, in order of time; each once. Of `columns` only those are
    read and returned: texts are nearly all that a row weighs.

    Requests that failed are among them (`status`). Empty where nothing was written. Raises StoreError.
    """
    place, name = Place(home), check_name(name)
    since = None if since is None else since.astimezone(UTC)
    until = None if until is None else until.astimezone(UTC)
    for last in (False,) * (TRIES - 1) + (True,):
        try:
            paths = _paths(place, name, since, until)
            found = in_order([_read(place, path, since, until, version, roles, columns) for path in paths])
            return found if columns is None else found.select(list(columns))
        except FileNotFoundError:
            # A gateway has put an hour's files together, or deleted what is too old.
            if last:
                raise StoreError(
                    "the files of the traffic log change while they are read", where=f"{place.shown}/traffic/{name}",
                    fix="try again",
                ) from None  # fmt: skip
    raise AssertionError


def _paths(place: Place, name: str, since: datetime | None, until: datetime | None) -> list[str]:
    first, last = hour_of(since) if since else "", hour_of(until) if until else "date=9999"
    found = []
    for day in place.folders(name):
        if day.startswith("date=") and first[:15] <= day <= last[:15]:
            paths = place.files(f"{name}/{day}")
            found += [one for one in paths if first <= one.removeprefix(f"{name}/").rpartition("/")[0] <= last]
    return found


def _read(
    place: Place, path: str, since: datetime | None, until: datetime | None, version: str | None, roles: Sequence[str],
    columns: Sequence[str] | None,
) -> pa.Table:  # fmt: skip
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pc.field("role").isin(pa.array(list(roles), pa.string()))
    if since is not None:
        wanted &= pc.field("at") >= pa.scalar(since, pa.timestamp("us", tz="UTC"))
    if until is not None:
        wanted &= pc.field("at") < pa.scalar(until, pa.timestamp("us", tz="UTC"))
    if version is not None:
        wanted &= pc.field("version") == version
    return read_file(place, path, None if columns is None else {*columns, *ALWAYS}).filter(wanted)


def read_file(place: Place, path: str, columns: Set[str] | None = None) -> pa.Table:
    """One file, or some columns of it. Raises FileNotFoundError where it has gone, DamagedFile, or StoreError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with place.open(path) as source:
        content = source.read()
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        wanted = None if columns is None else [one for one in file.schema_arrow.names if one in columns]
        return _as_now(file.read(wanted), columns)
    except (pa.ArrowException, OSError) as error:
        raise DamagedFile(
            f"a file of the traffic log cannot be read: {str(error).splitlines()[0][:200]}",
            where=f"{place.shown}/traffic/{path}",
            fix="move it away",
        ) from None


def _as_now(table: pa.Table, wanted: Set[str] | None = None) -> pa.Table:
    """A table with the columns of today, or those wanted of them, also where an older gateway wrote fewer."""
    import pyarrow as pa

    fields = [field.with_nullable(True) for field in schema() if wanted is None or field.name in wanted]
    columns = []
    for field in fields:
        have = field.name in table.column_names
        columns.append(table[field.name].cast(field.type) if have else pa.nulls(len(table), field.type))
    return pa.table(columns, schema=pa.schema(fields))


def in_order(tables: list[pa.Table]) -> pa.Table:
    """All rows in order of time. One that lies in two files, which are just being put together, counts once."""
    import numpy as np
    import pyarrow as pa

    whole = pa.concat_tables(tables) if tables else _as_now(schema().empty_table())
    whole = whole.sort_by([("at", "ascending"), ("id", "ascending")])
    ids = whole["id"].combine_chunks().dictionary_encode() if len(whole) else None
    if ids is None or len(ids.dictionary) == len(whole):
        return whole
    first = np.unique(ids.indices.to_numpy(), return_index=True)[1]
    return whole.take(pa.array(np.sort(first)))
