"""An experiment as a page: the decision, the intervals as they went, the guardrails, every change."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, Literal

from tunesmith.experiment.decision import Decision, Reading
from tunesmith.experiment.referee import Standing
from tunesmith.experiment.timeline import Look
from tunesmith.report.page import Chart, Facts, Section, Table, Verdict, render_page
from tunesmith.report.svg import line_chart

STATUS: dict[str, Literal["pass", "warn", "fail"]] = {"promote": "pass", "roll back": "fail", "blocked": "fail"}


def experiment_page(
    standing: Standing,
    changes: Sequence[dict[str, Any]],
    lines: dict[tuple[str, str], list[Look]],
    more: Sequence[Section] = (),
) -> str:
    """One HTML file. `lines` are the looks of each variant and metric; `more` is what else is known of the name."""
    experiment = standing.experiment
    weights = ", ".join(f"{name} {weight:g} %" for name, weight in experiment.weights.items())
    sections = [
        Section("What it says", (
            *(_verdict(name, decision) for name, decision in standing.decisions.items()),
            Facts((
                ("on", experiment.name), ("stage", experiment.stage), ("weights", weights),
                ("users", sum(sum(came.values()) for came in standing.evidence.users.values())),
                ("ended", experiment.verdict or "no"),
            )),
        )),
        *(
            Section(f"{name}: {metric}", (
                Chart(_chart(looks, metric), "The interval holds at all of these looks at once."),
                _numbers(standing.decisions[name], metric),
            ))
            for (name, metric), looks in lines.items()
        ),
        Section("Guardrails", (
            Table(
                ("variant", "", "what was seen"),
                tuple((name, "broken" if one.broken else "kept", one.reason)
                      for name, rulings in standing.rulings.items() for one in rulings),
            ),
        )),
        *more,
        Section("Users", (
            Table(
                ("since", *experiment.variants),
                tuple((f"weights no. {epoch}", *(came.get(name, 0) for name in experiment.variants))
                      for epoch, came in standing.evidence.users.items()),
                "Users are compared with those who came while the weights were the same.",
            ),
        )),
        Section("Changes", (
            Table(
                ("when (UTC)", "who", "what", "stage", "weights", "why"),
                tuple((one["at"][:19], one["who"], one["action"], one["stage"],
                       ", ".join(f"{name} {weight:g}" for name, weight in one["weights"].items()), one["why"])
                      for one in changes),
            ),
        )),
    ]  # fmt: skip
    return render_page(f"Experiment {experiment.id}", sections)


def _verdict(name: str, decision: Decision) -> Verdict:
    return Verdict(STATUS.get(decision.verdict, "warn"), f"{name}: {decision.verdict}", (decision.reason,))


def _chart(looks: Sequence[Look], metric: str) -> Any:
    known = [look for look in looks if isfinite(look.seen.low)]
    return line_chart(
        {
            "difference": [(float(look.users), look.seen.estimate) for look in known],
            "lowest": [(float(look.users), look.seen.low) for look in known],
            "highest": [(float(look.users), look.seen.high) for look in known],
        },
        "users with a value",
        f"{metric}, variant minus control",
        y_from_zero=True,
    )


def _numbers(decision: Decision, metric: str) -> Table:
    found: Reading | None = next((one for one in decision.readings if one.metric == metric), None)
    heads = ("users", "of the control", "mean", "of the control", "difference", "lowest", "highest", "p")
    if found is None:
        return Table(heads, ())
    known = isfinite(found.low)
    return Table(heads, ((
        found.users[0], found.users[1], found.means[0], found.means[1], found.estimate,
        found.low if known else None, found.high if known else None, found.p,
    ),))  # fmt: skip
