"""What watching a name has found, as a page: verdicts, inputs, answers, golden set, health, every evaluation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tunesmith.monitor.examples import Asked, region_of
from tunesmith.monitor.findings import GOLDEN, SECONDS_PER_DAY, Finding
from tunesmith.monitor.standing import Standing
from tunesmith.report.legible import block, one_line
from tunesmith.report.page import (
    Block,
    Chart,
    Details,
    Facts,
    Paragraph,
    Section,
    SideBySide,
    Table,
    Verdict,
    render_page,
)
from tunesmith.report.svg import line_chart

SHOWN = 6
"""Charts of inputs: all descriptors together, and those that differed most often."""

ALL = "drift.all"

LISTED = 300
LONGEST = 1200
"""Characters of an example."""

Series = dict[str, list[tuple[float, float]]]


def monitor_page(standing: Standing, history: Sequence[Finding], examples: Sequence[Asked]) -> str:
    """One HTML file. `history` is what was found in the same days, oldest first; `examples` are requests of the region
    of the last drift."""
    by_rule: dict[str, list[Finding]] = defaultdict(list)
    for one in history:
        if one.version in (standing.version, None):
            by_rule[one.rule].append(one)
    begin = history[0].at if history else standing.since
    sections = [
        Section("What was found", (*_verdicts(standing), _facts(standing, history))),
        Section("What is asked", tuple(_inputs(standing, by_rule, examples))),
        Section("What is said of answers", tuple(_answers(by_rule, begin))),
        Section("Golden set", tuple(_golden(by_rule.get(GOLDEN, []), begin))),
        Section("Health", tuple(_health(by_rule, begin))),
        Section("Every evaluation", (Details(f"{len(history)} verdicts", (_every(history),)),)),
    ]
    days = (history[-1].at - begin).total_seconds() / SECONDS_PER_DAY if history else 0.0
    return render_page(
        f"Monitoring of {standing.name}", [one for one in sections if one.blocks],
        subtitle=f"{standing.version or standing.name}, {days:.1f} days to {_when(history[-1].at) if history else '–'}",
    )  # fmt: skip


def _verdicts(standing: Standing) -> list[Verdict]:
    """One banner for each kind of change: what raised the last alarm, or that there was none."""
    kinds = {
        "What is asked": ("drift.alarm",), "Answers": ("quality.",), "Health": ("health.",),
    }  # fmt: skip
    found = []
    for what, (prefix,) in kinds.items():
        rules = [rule for rule in standing.latest if rule.startswith(prefix)]
        fired = [one for one in standing.fired if one.rule.startswith(prefix)]
        if fired:
            lines = tuple(f"{_when(one.at)} {one.version or ''}: {one.reason}" for one in list(reversed(fired))[:5])
            word = "something fired" if what == "Health" else "changed"
            found.append(Verdict("warn" if what == "Health" else "fail", f"{what}: {word}", lines))
        elif rules:
            found.append(Verdict("pass", f"{what}: nothing fired", (f"{len(rules)} rules were looked at",)))
        else:
            found.append(Verdict("warn", f"{what}: not looked at yet"))
    return found


def _facts(standing: Standing, history: Sequence[Finding]) -> Facts:
    windows = sum(one.rule == "drift.alarm" for one in history)
    return Facts((
        ("name", standing.name), ("version", standing.version or "–"), ("since", _when(standing.since)),
        ("windows of requests", windows), ("verdicts", len(history)), ("alarms", len(standing.alarms)),
    ))  # fmt: skip


def _inputs(standing: Standing, by_rule: dict[str, list[Finding]], examples: Sequence[Asked]) -> list[Block]:
    drift = {rule: found for rule, found in by_rule.items() if rule.startswith("drift.") and rule != "drift.alarm"}
    if not drift:
        return []
    often = sorted(drift, key=lambda rule: (rule != ALL, *_how_much(drift[rule]), rule))
    blocks: list[Block] = [
        Chart(
            line_chart(_over_windows(rule, drift[rule]), "window", _short(rule), y_from_zero=True),
            f"{_short(rule)}: {sum(one.fired for one in drift[rule])} of {len(drift[rule])} windows differ",
        )
        for rule in often[:SHOWN]
    ]
    rows = []
    for rule in often:
        if rule == ALL:
            continue
        last, fired = drift[rule][-1], [one for one in drift[rule] if one.fired]
        rows.append((
            _short(rule), "differs" if last.fired else "as in training", _number(last, "effect"),
            _number(last, "floor"), _number(last, "corrected"), len(fired), len(drift[rule]),
            _moment(fired[0], "since") if fired else "",
        ))  # fmt: skip
    heads = (
        "of what is asked", "last window", "effect", "counts from", "p, corrected", "windows that differ", "of",
        "first (UTC)",
    )  # fmt: skip
    blocks.append(Table(heads, tuple(rows)))
    region = region_of(standing)
    if region is not None:
        when = f"requests from {_moment(region, 'since')} to {_moment(region, 'until')} UTC"
        note = "" if examples else " The traffic log has them no longer."
        blocks.append(Paragraph(f"Most unlike the training data, of {when}.{note}"))
        blocks += [
            SideBySide(
                block(one.prompt, LONGEST), (("answer", block(one.answer or "–", LONGEST)),), _when(one.at), one.id
            )
            for one in examples
        ]
    return blocks


def _how_much(found: Sequence[Finding]) -> tuple[float, float]:
    """Sorts first what differed in most windows, then what came nearest to it."""
    shares = [(_number(one, "effect") or 0.0) / (_number(one, "floor") or 1.0) for one in found]
    return -float(sum(one.fired for one in found)), -max(shares, default=0.0)


def _over_windows(rule: str, found: Sequence[Finding]) -> Series:
    """Of a descriptor its effect and where that begins to count; of all together how strong the evidence of the last
    windows is, and how strong it must be for an alarm, both as -log10 of a chance."""
    names = (
        {"strength, -log10 p": "statistic", "an alarm takes": "threshold"}
        if rule == ALL
        else {"effect": "effect", "counts from": "floor"}
    )
    series: Series = {name: [] for name in names}
    for number, one in enumerate(found):
        at = float(one.evidence.get("window", number))
        for name, key in names.items():
            value = _number(one, key)
            series[name].append((at, float("nan") if value is None else value))
    return series


def _answers(by_rule: dict[str, list[Finding]], begin: datetime) -> list[Block]:
    metrics: dict[str, list[Finding]] = {}
    for rule, found in by_rule.items():
        if rule.startswith("quality.") and rule != GOLDEN:
            metrics.setdefault(str(found[-1].evidence.get("metric", rule)), []).extend(found)
    blocks: list[Block] = []
    rows = []
    for metric, found in sorted(metrics.items()):
        found.sort(key=lambda one: one.at)
        blocks.append(
            Chart(line_chart(_over_days(found, begin, ("recent", "first")), _days(begin), metric, y_from_zero=True),
                  f"{metric}: mean of the last 100 values at each look, and of the version's first 100")
        )  # fmt: skip
        last = found[-1].evidence
        fired = [one for one in found if one.fired]
        since = _moment(fired[-1], "since") if fired else ""
        rows.append((metric, last.get("count"), last.get("first"), last.get("recent"), len(fired), since))
    if rows:
        blocks.append(Table(("metric", "values", "first 100", "last 100", "alarms", "worse since (UTC)"), tuple(rows)))
    return blocks


def _golden(found: Sequence[Finding], begin: datetime) -> list[Block]:
    if not found:
        return []
    last = found[-1]
    chart = line_chart(_over_days(found, begin, ("loss", "loss_at_release")), _days(begin), "nats per token")
    changes = [one for one in last.evidence.get("changes") or [] if isinstance(one, dict)]
    keys = ("before", "after", "difference", "low", "high")
    table = Table(
        ("compared", "before", "now", "difference", "lowest", "highest", ""),
        tuple(
            (one_line(str(one.get("what")), 80), *(one.get(key) for key in keys), "worse" if one.get("worse") else "")
            for one in changes
        ),
        "Nats per token of the right answer; intervals of 95 % over rows.",
    )
    return [
        Chart(chart, "Loss of the live version, at each evaluation"), Paragraph(last.reason),
        *([table] if changes else []),
    ]  # fmt: skip


def _health(by_rule: dict[str, list[Finding]], begin: datetime) -> list[Block]:
    rules = {rule: found for rule, found in sorted(by_rule.items()) if rule.startswith("health.")}
    shares: Series = {
        _short(rule): _over_days(found, begin, ("value",))["value"]
        for rule, found in rules.items()
        if "part" in found[-1].evidence
    }
    blocks: list[Block] = []
    if shares:
        blocks.append(
            Chart(line_chart(shares, _days(begin), "share of requests", y_from_zero=True), "Rates, at each look")
        )
    if rules:
        rows = tuple(
            (_short(rule), "fired" if found[-1].fired else "", found[-1].reason) for rule, found in rules.items()
        )
        blocks.append(Table(("rate", "", "last"), rows))
    return blocks


def _every(history: Sequence[Finding]) -> Table:
    rows = tuple(
        (_when(one.at), one.rule, one.version or "", "fired" if one.fired else "", one.reason)
        for one in reversed(history[-LISTED:])
    )
    caption = f"The newest {LISTED} of {len(history)}." if len(history) > LISTED else ""
    return Table(("when (UTC)", "rule", "version", "", "what was found"), rows, caption)


def _over_days(found: Sequence[Finding], begin: datetime, keys: Sequence[str]) -> Series:
    """Evidence over days since `begin`."""
    series: Series = {key: [] for key in keys}
    for one in found:
        day = (one.at - begin).total_seconds() / SECONDS_PER_DAY
        for key in keys:
            value: Any = one.evidence.get(key)
            series[key].append((day, float(value) if isinstance(value, int | float) else float("nan")))
    return series


def _number(finding: Finding, key: str) -> float | None:
    value = finding.evidence.get(key)
    return float(value) if isinstance(value, int | float) else None


def _short(rule: str) -> str:
    return rule.partition(".")[2]


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _moment(finding: Finding, key: str) -> str:
    return str(finding.evidence.get(key, ""))[:16].replace("T", " ")


def _days(begin: datetime) -> str:
    return f"days since {_when(begin)}"
