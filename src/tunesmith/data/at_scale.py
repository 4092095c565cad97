"""Tokenising on Ray Data: the same rows, the same bytes, on as many cores as the cluster has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tunesmith.data.example import BadRow, Origin

if TYPE_CHECKING:
    from tunesmith.data.render import Renderer
    from tunesmith.data.spool import Spool
    from tunesmith.data.tokenise import Progress, Refusals

ROWS_PER_FILE = 20_000
BATCH = 1000
COLUMNS = ["messages", "tools", "label", "file", "line"]


class TokeniseBatch:
    """What each Ray Data worker holds: the renderer. Called with a batch of spooled conversations."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer

    def __call__(self, table: Any) -> Any:
        """Columns of COLUMNS -> `ids`, `spans` (the bytes of an array of SPAN), and `what`, `fix` of refused rows.

        A refused row comes back as a row and not as an exception: the caller names it as one process would.
        """
        import pyarrow as pa

        from tunesmith.data.spool import SPAN, to_example

        columns: dict[str, list[Any]] = {name: [] for name in ("ids", "spans", "what", "fix")}
        for row in self.renderer([to_example(row) for row in table.to_pylist()]):
            bad = isinstance(row, BadRow)
            columns["ids"].append([] if bad else row.ids)
            columns["spans"].append(b"" if bad else np.array(row.spans, SPAN).tobytes())
            columns["what"].append(row.what if bad else None)
            columns["fix"].append(row.fix if bad else None)
        types = {"ids": pa.large_list(pa.int32()), "spans": pa.binary(), "what": pa.string(), "fix": pa.string()}
        made = {name: pa.array(columns[name], kind) for name, kind in types.items()}
        return pa.table(made | {name: table.column(name) for name in ("file", "line")})


def tokenise_rest(spool: Spool, renderer: Renderer, refused: Refusals, progress: Progress) -> None:
    """Tokenise the rows that were read but not tokenised yet, in order."""
    import ray

    folder = spool.folder / "rest"
    _write_files(spool, folder)
    with _ray_data():
        # The files lie on this machine: reading stays here, and takes no CPU, as a head node may offer none.
        here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
        rows = ray.data.read_parquet(str(folder), columns=COLUMNS, num_cpus=0, label_selector=here)
        tokenised = rows.map_batches(
            TokeniseBatch,
            fn_constructor_args=(renderer,),
            batch_format="pyarrow",
            batch_size=BATCH,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=1024),
        )
        for batch in tokenised.iter_batches(batch_format="pyarrow", batch_size=10 * BATCH):
            _add(spool, batch, refused)
            progress("tokenise", len(batch))


def _add(spool: Spool, table: Any, refused: Refusals) -> None:
    import pyarrow.compute as pc

    from tunesmith.data.spool import SPAN

    for row in table.filter(pc.is_valid(table.column("what"))).select(["file", "line", "what", "fix"]).to_pylist():
        refused.add(BadRow(Origin(row["file"], row["line"]), row["what"], row["fix"]))
    spans = table.column("spans")
    spool.add_arrays(
        pc.list_flatten(table.column("ids")).to_numpy(),
        pc.list_value_length(table.column("ids")).to_numpy(),
        np.frombuffer(b"".join(spans.to_pylist()), SPAN),
        pc.binary_length(spans).to_numpy() // SPAN.itemsize,
    )


@contextmanager
def _ray_data() -> Iterator[None]:
    """Ray, started here if nobody did, with rows kept in order; what was changed is put back."""
    import ray
    from ray.data import DataContext

    started = not ray.is_initialized()
    if started:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # left open, Ray may ask for a token that its workers lack
        ray.init(include_dashboard=False, log_to_driver=False)
    context = DataContext.get_current()
    before = context.execution_options.preserve_order, context.enable_progress_bars
    context.execution_options.preserve_order, context.enable_progress_bars = True, False
    try:
        yield
    finally:
        context.execution_options.preserve_order, context.enable_progress_bars = before
        if started:
            ray.shutdown()


def _write_files(spool: Spool, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    seen, held, number = 0, [], 0
    for batch in spool.batches():
        skip = int(np.clip(spool.num_tokenised - seen, 0, len(batch)))
        seen += len(batch)
        held.append(batch.slice(skip))
        if sum(map(len, held)) >= ROWS_PER_FILE:
            pq.write_table(pa.Table.from_batches(held), folder / f"{number:06d}.parquet")
            held, number = [], number + 1
    if sum(map(len, held)):
        pq.write_table(pa.Table.from_batches(held), folder / f"{number:06d}.parquet")
