"""A retrain on one page: what started it, what it learned from, each gate with its figures, the experiment, the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from tunesmith.monitor.retrain.decide import DECISION
from tunesmith.monitor.retrain.journal import Retrain, Step
from tunesmith.report.legible import one_line, visible
from tunesmith.report.page import Block, Details, Facts, Paragraph, Section, Table, Verdict, render_page

Status = Literal["pass", "warn", "fail"]
ENDS: dict[str, Status] = {"promoted": "pass", "kept": "warn", "stopped": "fail"}
MARKS = {"pass": "✔", "done": "✔", "start": "▶", "warn": "▲", "fail": "✘", "skip": "–", "stay": "–"}
GATES = (
    "data-audit", "within-budget", "evaluate", "beats-champion", "old-rows", "general-ability", "safe-words", "people",
    "parity",
)  # fmt: skip
EXPERIMENT = ("shadow", "canary", "ab", "promote", "rollback")
MAX_VALUE = 400


def trail_page(retrain: Retrain, steps: Sequence[Step]) -> str:
    """One HTML file."""
    sections = [
        Section("What came of it", (_verdict(retrain, steps), Facts(tuple(_facts(retrain))))),
        *_part("What started it", steps, (DECISION,)),
        *_part("What it learned from", steps, ("collect", "label")),
        *_part("Training", steps, ("train", "answer", "register")),
        Section("Gates", (_gates(steps), *_details([one for one in steps if one.step in (*GATES, "pairs")]))),
        *_part("The experiment", steps, EXPERIMENT),
        Section("Every step", (
            Table(
                ("when (UTC)", "step", "", "what came of it"),
                tuple((f"{one.at:%Y-%m-%d %H:%M:%S}", one.step, one.verdict, visible(one.reason)) for one in steps),
            ),
        )),
    ]  # fmt: skip
    return render_page(retrain.reference, sections, subtitle=one_line(str(retrain.state.get("why", "")), 300))


def trail_lines(retrain: Retrain, steps: Sequence[Step]) -> Iterator[str]:
    """The same for a terminal."""
    yield f"{retrain.reference}: {_said(retrain)}"
    for name, value in _facts(retrain):
        yield f"  {name}: {value}"
    yield ""
    for one in steps:
        mark = MARKS.get(one.verdict, "·")
        yield f"{one.at:%Y-%m-%d %H:%M} {mark} {one.step}: {one_line(one.reason, 1000)}"


def _said(retrain: Retrain) -> str:
    if retrain.running:
        return f"in flight, at {retrain.next}"
    return f"{retrain.state.get('end', 'ended')}: {retrain.state.get('because', '')}"


def _verdict(retrain: Retrain, steps: Sequence[Step]) -> Verdict:
    failed = [one for one in steps if one.verdict == "fail"]
    reasons = tuple(f"{one.step}: {visible(one.reason)}" for one in failed)
    status: Status = "warn" if retrain.running else ENDS.get(str(retrain.state.get("end")), "warn")
    return Verdict(status, visible(_said(retrain)), reasons)


def _facts(retrain: Retrain) -> Iterator[tuple[str, str]]:
    state = retrain.state
    yield "began", f"{retrain.started_at:%Y-%m-%d %H:%M} UTC"
    yield ("last change" if retrain.running else "ended"), f"{retrain.changed_at:%Y-%m-%d %H:%M} UTC"
    yield "champion", str(state.get("champion"))
    for key in ("version", "experiment", "champion_after"):
        if state.get(key):
            yield key.replace("_", " "), str(state[key])


def _gates(steps: Sequence[Step]) -> Block:
    asked = [one for one in steps if one.step in GATES]
    if not asked:
        return Paragraph("None was asked yet.")
    rows = tuple((f"{MARKS.get(one.verdict, '')} {one.step}", one.verdict, visible(one.reason)) for one in asked)
    return Table(("gate", "verdict", "why"), rows)


def _part(title: str, steps: Sequence[Step], names: Sequence[str]) -> list[Section]:
    mine = [one for one in steps if one.step in names]
    blocks: list[Block] = []
    for one in mine:
        blocks.append(Paragraph(f"{one.at:%Y-%m-%d %H:%M} {one.step}: {visible(one.reason)}"))
        blocks += _details([one])
    return [Section(title, tuple(blocks))] if blocks else []


def _details(steps: Sequence[Step]) -> list[Block]:
    """The figures of steps, folded away."""
    found: list[Block] = []
    for one in steps:
        rows = tuple(_flat(one.evidence))
        if rows:
            found.append(Details(f"figures of {one.step}", (Table(("figure", "value"), rows),)))
    return found


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str | int | float | None]]:
    """Names and values of nested evidence; long texts are cut."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        if all(not isinstance(item, Mapping | list) for item in value):
            yield name, one_line(", ".join(map(str, value)), MAX_VALUE) if value else "none"
        else:
            for number, item in enumerate(value):
                yield from _flat(item, f"{name}.{number}")
    elif isinstance(value, bool) or value is None:
        yield name, {True: "yes", False: "no", None: None}[value]
    elif isinstance(value, int | float):
        yield name, value
    else:
        yield name, one_line(str(value), MAX_VALUE)
