"""Look at the first row of a data file, as far as the standard library reads it, to name its format."""

from __future__ import annotations

import csv
import glob
import gzip
import json
import re
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import IO, Any

MAX_BYTES = 1_000_000
"""A first row that is longer is not looked at."""

FORMATS = {
    "chat": {"messages"},
    "sharegpt": {"conversations"},
    "alpaca": {"instruction", "output"},
    "prompt-completion": {"prompt", "completion"},
    "text-label": {"text", "label"},
}
"""Format -> the columns by which it is known. Anything else is left to `auto`, which looks at more rows."""


@dataclass(frozen=True)
class FirstRow:
    """The columns of a first row and the format they suggest, `auto` when none."""

    columns: tuple[str, ...]
    format: str


def is_local(path: str) -> bool:
    """Whether a path is on this machine's disks, and not a URL such as `s3://...`."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", path) is None


def look_at_first_row(path: str) -> FirstRow | None:
    """Read the first row of a JSONL, JSON or CSV file (also `.gz`); None when that is not cheap or not possible."""
    found = sorted(glob.glob(str(Path(path).expanduser())))  # noqa: PTH207 - patterns may be absolute
    file = Path(found[0]) if found else Path(path)
    try:
        with _open(file) as opened:
            row = _first(file.name.removesuffix(".gz"), opened.read(MAX_BYTES))
    except (OSError, ValueError, EOFError, csv.Error):  # said better, with its line, by `tunesmith data audit`
        return None
    if not isinstance(row, dict) or not row:
        return None
    columns = tuple(str(key) for key in row)
    known = (name for name, needed in FORMATS.items() if needed <= set(columns))
    return FirstRow(columns, next(known, "auto"))


def _open(file: Path) -> IO[str]:
    if file.name.endswith(".gz"):
        return gzip.open(file, "rt", encoding="utf-8-sig")
    return file.open(encoding="utf-8-sig", newline="")


def _first(name: str, text: str) -> Any:
    if name.endswith((".jsonl", ".ndjson")):
        return json.loads(next(line for line in [*text.splitlines(), "null"] if line.strip()))
    if name.endswith(".json"):
        start = text.find("{")
        return json.JSONDecoder().raw_decode(text, start)[0] if start >= 0 and text.lstrip()[:1] == "[" else None
    if name.endswith(".csv"):
        return dict.fromkeys(next(csv.reader(StringIO(text)), []))
    return None
