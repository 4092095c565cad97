"""People who see both versions' answers, without being told whose they are, must not find the champion's better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunesmith.evaluate.gates import Decision, GateVerdict

if TYPE_CHECKING:
    from tunesmith.recipe.retrain import PeopleGate
    from tunesmith.review.judged import Judged
    from tunesmith.review.queue import Progress

PEOPLE = "people"

LEAST = 10
"""Pairs below which nothing can be told."""


def not_worse(found: Judged, asked: PeopleGate, progress: Progress) -> GateVerdict:
    """Whether the interval of the share of pairs that it wins, a tie as half a win, lies at or above 0.5 - `margin`.

    That is a test of not being worse, so that too few pairs do not pass. `progress` says how many pairs have every
    rating that they should have.
    """
    came, floor = found.preferences, 0.5 - asked.margin
    evidence: dict[str, Any] = {
        "pairs": progress.total, "judged_in_full": progress.done, "margin": asked.margin, **found.to_json(),
    }  # fmt: skip
    late = ""
    if progress.done < progress.total:
        late = f"after {asked.max_days:g} days {progress.done} of {progress.total} pairs have every rating; "
    if came.items < LEAST or found.share is None or found.low is None or found.high is None:
        told = f"{late}cannot tell: people could decide on {came.items} of {progress.total} pairs, and it takes {LEAST}"
        return GateVerdict(PEOPLE, Decision.FAIL, f"{told}{_left_out(found)}", evidence)
    told = (
        f"{late}people preferred it on {came.wins} of {came.items} pairs, the champion on {came.losses}, neither on "
        f"{came.ties}: a share of {found.share:.2f} with a tie as half, {came.confidence:.0%} interval {found.low:.2f} "
        f"to {found.high:.2f}"
    )
    passed = found.low >= floor
    if found.high < 0.5:
        end = "the champion is preferred" + (", by less than the margin" if passed else "")
    else:
        end = f"its lower end {'lies at or above' if passed else 'does not reach'} {floor:g}"
    decision = Decision.PASS if passed else Decision.FAIL
    return GateVerdict(PEOPLE, decision, f"{told}; {end}{_left_out(found)}", evidence)


def too_alike(shown: int, differing: int, rows: int, asked: PeopleGate) -> GateVerdict:
    """The verdict where there are too few pairs to ask people about.

    Answers that are the same are as good. So where a champion that were preferred on every other row would still win no
    larger share of all rows than `margin` allows, it warns and goes on; else it cannot tell, and fails.
    """
    worst = 0.5 - differing / rows / 2 if rows else 0.0
    evidence: dict[str, Any] = {
        "rows": rows, "differing": differing, "pairs": shown, "margin": asked.margin, "lowest_share": worst,
    }  # fmt: skip
    alike = f"both answer the same on {rows - differing} of {rows} rows"
    few = "" if shown == differing else f", of the others {shown} can be shown"
    if worst >= 0.5 - asked.margin:
        reason = f"nobody was asked: {alike}{few}, and were the champion's the better on all others, its share would be"
        return GateVerdict(PEOPLE, Decision.WARN, f"{reason} {worst:.2f}, within the margin", evidence)
    reason = f"cannot tell: {alike}{few}, and it takes {LEAST} pairs to ask people"
    return GateVerdict(PEOPLE, Decision.FAIL, reason, evidence)


def _left_out(found: Judged) -> str:
    who = ", ".join(found.left_out)
    return f"; left out, as too often wrong where the answer is known: {who}" if who else ""
