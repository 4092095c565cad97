"""Rows that are not conversations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import orjson

from tunesmith.data.audit.findings.check import Check, Context, Tally, in_rows
from tunesmith.data.audit.report import Finding
from tunesmith.data.audit.table import Table
from tunesmith.data.example import BadRow


class Malformed(Check):
    """Every one is written to `listing`, when there is one, as a line of JSON."""

    code = "malformed"

    def __init__(self, context: Context, listing: IO[bytes] | None = None) -> None:
        super().__init__(context)
        self.listing = listing
        self.tally = Tally()

    def see_bad(self, part: str, row: BadRow) -> None:
        """Count a bad row."""
        self.tally.add(part, row.origin, row.what)
        if self.listing is not None:
            record = {"file": row.origin.file, "line": row.origin.line, "part": part, "what": row.what, "fix": row.fix}
            # Half a surrogate pair cannot be written to a file.
            printable = {
                k: v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for k, v in record.items()
            }
            self.listing.write(orjson.dumps(printable) + b"\n")

    def findings(self, table: Table) -> Iterator[Finding]:
        if count := self.tally.counts.total():
            yield Finding(
                code="malformed",
                title="Malformed rows",
                severity="error",
                count=count,
                counts=dict(self.tally.counts),
                message=f"{in_rows(count)} cannot be read as conversations",
                fix="mend or remove each row named here; `data.format` says how rows are read",
                samples=tuple(self.tally.samples),
            )
