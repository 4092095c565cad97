"""Every row of a recipe, read, rendered and tokenised into a spool."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.data.example import BadRow, Example
from tunesmith.data.render import Rendered
from tunesmith.data.split import PARTS
from tunesmith.data.spool import Spool
from tunesmith.errors import DataError

if TYPE_CHECKING:
    from tunesmith.data.prepare import Preparation

BATCH = 1000

SHOWN = 5
"""Rows named in an error."""

Progress = Callable[[str, int], None]
"""Told the stage and how many more rows it has done."""


def tokenise(plan: Preparation, scratch: Path, progress: Progress) -> Spool:
    """Read every row into a spool, tokenised; from `ray_data_min_rows` rows on, the tokenising is Ray Data's.

    Raises DataError when there are conversations that cannot be trained on.
    """
    from tunesmith.data.read import read_examples

    spool, refused = Spool(scratch), Refusals()
    for part in PARTS:
        rows = read_examples(plan.data, plan.folder, part)  # type: ignore[arg-type]
        while batch := list(islice(rows, BATCH)):
            examples = [row for row in batch if isinstance(row, Example)]
            spool.add_bad([row for row in batch if isinstance(row, BadRow)], part)
            spool.add_examples(examples, part)
            if spool.num_rows < plan.data.ray_data_min_rows and spool.num_tokenised + len(examples) == spool.num_rows:
                spool.add_tokens(refused.sort_out(plan.renderer(examples)))
            progress("read", len(batch))
    spool.close_examples()
    if spool.num_tokenised < spool.num_rows:
        from tunesmith.data.at_scale import tokenise_rest

        tokenise_rest(spool, plan.renderer, refused, progress)
    spool.close()
    refused.refuse()
    return spool


class Refusals:
    """Conversations that cannot be trained on: all are counted, the first few remembered."""

    def __init__(self) -> None:
        self.first: list[BadRow] = []
        self.count = 0

    def add(self, row: BadRow) -> None:
        """Note one more."""
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(row)

    def sort_out(self, rendered: list[Rendered | BadRow]) -> list[Rendered]:
        """The same rows with an empty one for each that is refused, so that rows keep their numbers."""
        for row in rendered:
            if isinstance(row, BadRow):
                self.add(row)
        return [Rendered([], []) if isinstance(row, BadRow) else row for row in rendered]

    def refuse(self) -> None:
        """Raise DataError if there was one."""
        if self.first:
            alike = [str(row.origin) for row in self.first if row.what == self.first[0].what]
            more = f" and {self.count - len(alike)} more" if self.count > len(alike) else ""
            raise DataError(self.first[0].what, where=", ".join(alike) + more, fix=self.first[0].fix)
