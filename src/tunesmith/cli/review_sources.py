"""Where pairs for people come from: an evaluation's report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunesmith.review.item import NewItem

SEED = "draw"


def from_report(name: str, path: Path, against: str) -> list[NewItem]:
    """The tuned model beside another contestant, on the rows of the report where they differ. Raises TunesmithError."""
    from tunesmith.errors import EvaluationError, did_you_mean
    from tunesmith.evaluate.result import read_report
    from tunesmith.review.item import Answer, NewItem

    report = read_report(path)
    baseline = {"base": report.base, "best_prompt": report.best_prompt}.get(against, against)
    names = [one.name for one in report.contestants]
    if baseline not in names or baseline == report.tuned:
        others = [one for one in names if one != report.tuned]
        raise EvaluationError(
            f"{against[:80]!a} is nobody to compare with", where=str(path), fix=did_you_mean(against, others)
        )
    tuned, other = (report.contestant(one).contestant.answers for one in (report.tuned, baseline))
    source = report.context.version or report.tuned
    return [
        NewItem(
            name, "pair", [{"role": "user", "content": row.prompt_text}],
            [Answer(source, ours.text), Answer(baseline, theirs.text)],
        )
        for row, ours, theirs in zip(report.rows, tuned, other, strict=True)
        if ours.text.strip() != theirs.text.strip()
    ]  # fmt: skip


def thinned(items: list[NewItem], most: int | None) -> list[NewItem]:
    """So many of them at most, drawn at random, always the same for the same items."""
    from tunesmith.review.item import drawn

    return items if most is None else sorted(items, key=lambda one: drawn(SEED, one.id))[:most]
