"""One row as a source holds it, before any format is applied."""

from __future__ import annotations

from typing import Any, NamedTuple

from tunesmith.data.example import Origin


class Row(NamedTuple):
    """Column values by name, the place they came from, and the split when the source names one.

    A named tuple because one is made for every row: it takes half the time of a frozen dataclass.
    """

    values: dict[str, Any]
    origin: Origin
    split: str | None = None
