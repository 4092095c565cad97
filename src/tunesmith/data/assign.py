"""Which part each row goes to: its own word, the split, what is too long, what is more than asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tunesmith.data.split import TEST, TRAIN, VALIDATION, draws, split
from tunesmith.data.spool import UNASSIGNED, Spool
from tunesmith.data.tokenise import SHOWN
from tunesmith.errors import DataError

if TYPE_CHECKING:
    from tunesmith.data.prepare import Preparation


def assign(plan: Preparation, spool: Spool, groups: np.ndarray) -> np.ndarray:
    """(rows,) the part of each row, UNASSIGNED where it is left out.

    Rows of `train` that do not name their own part are split. Raises DataError when none is left to learn from.
    """
    parts = spool.given.astype(np.int8)
    if plan.data.overlong == "drop":
        parts[spool.lengths > plan.sequence_length] = UNASSIGNED
    undecided = np.flatnonzero((parts == TRAIN) & ~spool.decided)
    wanted = (not (spool.given == VALIDATION).any(), not (spool.given == TEST).any())
    if any(wanted) and len(undecided):
        labels = spool.label_numbers()
        parts[undecided] = split(
            len(undecided),
            plan.data.split,
            None if labels is None else labels[undecided],
            groups[undecided],
            wanted,
            spool.keys[undecided],
        )
    train = np.flatnonzero(parts == TRAIN)
    if not len(train):
        raise DataError(
            "no row is left to learn from",
            where="data",
            fix=f"{spool.num_bad} of {spool.num_rows + spool.num_bad} rows are malformed; run `tunesmith data audit`",
        )
    if plan.data.max_train_examples is not None and len(train) > plan.data.max_train_examples:
        drawn = draws(plan.data.split.seed, "max_train_examples", spool.keys[train])
        parts[train[np.argsort(drawn, kind="stable")[plan.data.max_train_examples :]]] = UNASSIGNED
    return parts


def check_lengths(plan: Preparation, spool: Spool) -> None:
    """Raise DataError for overlong rows where they are an error, or would lose all that is trained."""
    overlong = np.flatnonzero(spool.lengths > plan.sequence_length)
    if len(overlong) and plan.data.overlong == "error":
        raise DataError(
            f"{len(overlong)} of {spool.num_rows} conversations are longer than train.sequence_length "
            f"({plan.sequence_length} tokens; the longest has {int(spool.lengths.max())})",
            where=", ".join(spool.places(overlong[:SHOWN])),
            fix="raise train.sequence_length, or set data.overlong to truncate or drop",
        )
    if plan.data.overlong == "truncate":
        # The first token of a document follows nothing and is never learnt.
        first_learnt = np.maximum(spool.spans["start"][spool.span_starts[overlong]], 1)
        lost = overlong[first_learnt >= plan.sequence_length]
        if len(lost):
            raise DataError(
                f"cut at {plan.sequence_length} tokens, {len(lost)} conversations would keep no trained token",
                where=", ".join(spool.places(lost[:SHOWN])),
                fix="raise train.sequence_length, or set data.overlong to drop",
            )
