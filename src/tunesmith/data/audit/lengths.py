"""How long conversations are: a histogram with round bins, and the figures people ask for."""

from __future__ import annotations

import numpy as np

from tunesmith.data.audit.report import Lengths
from tunesmith.report.axis import axis_over


def round_edges(values: np.ndarray, num_bins: int = 30) -> np.ndarray:
    """Bin edges for all parts together. A few very long rows do not stretch them: these go to the last bin."""
    if not len(values):
        return np.array([0, 1])
    longest = int(min(values.max(), 1.5 * np.quantile(values, 0.995) + 1))
    step = axis_over([0, max(1, longest)], 0, 1, num_ticks=num_bins, whole=True).ticks[1]
    return np.arange(0, longest + 2 * step, int(np.ceil(step)), dtype=np.int64)


def lengths(values: np.ndarray, edges: np.ndarray) -> Lengths | None:
    """Histogram and figures of one part; None when it has no rows."""
    if not len(values):
        return None
    counts = np.histogram(np.minimum(values, edges[-1]), bins=edges)[0]
    median, p95 = np.quantile(values, [0.5, 0.95])
    return Lengths(
        median=int(median),
        p95=int(p95),
        longest=int(values.max()),
        total=int(values.sum()),
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
    )
