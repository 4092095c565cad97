"""Tokenising on Ray Data: the same rows, the same bytes, on as many cores as the cluster has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tunesmith.data.prepare import Progress
    from tunesmith.data.render import Renderer
    from tunesmith.data.spool import Spool

ROWS_PER_FILE = 20_000


class TokeniseBatch:
    """What each Ray Data worker holds: the renderer. Called with a batch of spooled conversations."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer

    def __call__(self, table: Any) -> Any:
        """Columns messages, tools, label, file, line -> ids and spans; spans are flat triples of start, end, weight."""
        import pyarrow as pa

        from tunesmith.data.prepare import refuse_bad
        from tunesmith.data.spool import to_example

        rendered = refuse_bad(self.renderer([to_example(row) for row in table.to_pylist()]))
        spans = [[number for span in row.spans for number in span] for row in rendered]
        columns = {
            "ids": pa.array([row.ids for row in rendered], pa.list_(pa.int32())),
            "spans": pa.array(spans, pa.list_(pa.float64())),
        }
        return pa.table(columns)


def tokenise_rest(spool: Spool, renderer: Renderer, progress: Progress) -> None:
    """Tokenise the rows that were read but not tokenised yet, in order."""
    import ray
    from ray.data import DataContext

    from tunesmith.data.render import Rendered

    folder = spool.folder / "rest"
    _write_files(spool, folder)
    DataContext.get_current().execution_options.preserve_order = True
    DataContext.get_current().enable_progress_bars = False
    dataset = ray.data.read_parquet(str(folder), columns=["messages", "tools", "label", "file", "line"])
    tokenised = dataset.map_batches(
        TokeniseBatch, fn_constructor_args=(renderer,), batch_format="pyarrow", batch_size=1000, concurrency=(1, 1024)
    )
    for batch in tokenised.iter_batches(batch_format="pyarrow", batch_size=10_000):
        rows = zip(batch.column("ids").to_pylist(), batch.column("spans").to_pylist(), strict=True)
        rendered = [
            Rendered(ids, [(int(a), int(b), w) for a, b, w in zip(s[::3], s[1::3], s[2::3], strict=True)])
            for ids, s in rows
        ]
        spool.add_tokens(rendered)
        progress("tokenise", len(rendered))


def _write_files(spool: Spool, folder: Any) -> None:
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
