"""People's judgement as a section of a page."""

from __future__ import annotations

from typing import Literal

from tunesmith.report.page import Block, Facts, Paragraph, Section, Table, Verdict
from tunesmith.review.preference import Preferences
from tunesmith.review.results import Results

DECIDED = 0.05
GOOD_ALPHA = 0.667
"""Agreement below which Krippendorff (2004, section 11.4) would not draw even tentative conclusions."""


def judgement(results: Results) -> Section:
    """What was preferred, how sure that is, and how far raters agree; without flagged raters where there are any."""
    found = results.trusted or results
    blocks: list[Block] = [_verdict(one) for one in found.preferences]
    blocks.append(
        Facts((
            ("items judged", found.judged), ("of", found.items), ("ratings", found.ratings),
            ("raters", len(found.raters)), ("corrected answers", found.corrections),
        ))
    )  # fmt: skip
    if results.flagged:
        blocks.append(
            Paragraph(f"Left out, as too often wrong where the answer is known: {', '.join(results.flagged)}.")
        )
    blocks.append(_agreement(found))
    if found.strengths:
        blocks.append(
            Table(
                ("source", "strength", "lowest", "highest", "comparisons"),
                tuple((one.source, one.strength, one.low, one.high, one.comparisons) for one in found.strengths),
                "Bradley-Terry strengths with 95 % intervals: one more means preferred in 73 of 100.",
            )
        )
    if found.means:
        blocks.append(
            Table(
                ("source", "scale", "mean", "lowest", "highest", "items"),
                tuple((one.source, one.scale, one.mean, one.low, one.high, one.items) for one in found.means),
                "Means of scales with 95 % intervals, items as clusters.",
            )
        )
    return Section("What people say", tuple(blocks))


def _verdict(one: Preferences) -> Verdict:
    sure = one.p is not None and one.p < DECIDED
    status: Literal["pass", "warn"] = "pass" if sure else "warn"
    what = f"{one.candidate} was preferred to {one.baseline} on {one.wins} items, the other way on {one.losses}"
    exact = "nothing is decided" if one.p is None else f"exact sign test: p = {one.p:.2g}"
    return Verdict(status, what, (f"as good on {one.ties}; {exact}",))


def _agreement(found: Results) -> Table:
    rows = tuple(
        (
            name,
            one.value,
            one.low,
            one.high,
            one.items,
            "" if (one.value or 0) >= GOOD_ALPHA else "too little to rely on",
        )
        for name, one in found.agreement.items()
    )
    return Table(("agreement on", "alpha", "lowest", "highest", "items", ""), rows, "Krippendorff's alpha.")
