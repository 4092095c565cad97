"""The report as Markdown, for a pull request or a wiki."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tunesmith.evaluate.render import view
from tunesmith.evaluate.result import EvaluationReport
from tunesmith.report.legible import block, number, one_line

TEXT_LIMIT = 2_000
SPECIAL = re.compile(r"[\\`*_\[\]#|~@$]|(?<=www)\.|:(?=//)|^[-+=]|^\d{1,9}[.)](?=\s|$)", re.IGNORECASE)
"""What Markdown could take for its own: marks, starts of links, and at the start of a line those of lists and rules."""

SIGNS = {"pass": "✔", "warn": "▲", "fail": "✘"}


def render_markdown(report: EvaluationReport) -> str:
    """Render as GitHub-flavoured Markdown. Text from outside is escaped, or stands in a fence it cannot close."""
    parts = [f"# Evaluation of {plain(report.context.name)}", view.headline(report), _verdicts(report)]
    parts += [table(("", ""), [(name, value) for name, value in view.facts(report)])]
    if report.context.chat_command:
        parts += ["Chat with it:", fenced(report.context.chat_command)]
    headings = ("metric", *(column.heading for column in view.columns(report)))
    parts += ["## Scores", table(headings, view.score_rows(report))]
    parts += ["## Differences", *_differences(report), "\n".join(f"- {plain(note)}" for note in view.notes(report))]
    if report.selection:
        parts += ["## Prompts that were tried", *_selection(report)]
    parts += ["## Samples", *_samples(report), "## How it was made", table(("what", "value"), view.provenance(report))]
    return "\n\n".join(part for part in parts if part) + "\n"


def _verdicts(report: EvaluationReport) -> str:
    return "\n".join(
        f"- {SIGNS[verdict.decision]} **{plain(verdict.name)}**: {plain(verdict.reason)}" for verdict in report.verdicts
    )


def _differences(report: EvaluationReport) -> Iterable[str]:
    for baseline in dict.fromkeys((report.best_prompt, report.base)):
        part = "the best prompt" if baseline == report.best_prompt else "the base model"
        yield f"Tuned minus {part}, {plain(baseline)}:"
        headings = ("metric", "difference and interval", "outcome", "p", "wins / ties / losses")
        yield table(headings, view.comparison_rows(report, baseline))


def _selection(report: EvaluationReport) -> Iterable[str]:
    selection = report.selection
    if selection is None:
        return
    yield f"On {selection.num_rows} validation rows, by {plain(selection.title)}; the best one meets the test rows."
    maximum = view.deciding_metric(report).maximum
    yield table(
        ("prompt", "what it is", selection.title),
        [
            (
                f"{tried.name}{' (best)' if tried.name == selection.best else ''}",
                tried.description,
                number(tried.value, maximum),
            )
            for tried in selection.tried
        ],
    )


def _samples(report: EvaluationReport) -> Iterable[str]:
    metric = view.deciding_metric(report)
    for sample in view.samples(report):
        row = report.rows[sample.number]
        yield f"### {plain(row.origin)}: {sample.kind} ({sample.difference:+.3f} {plain(metric.title)})"
        texts = [("prompt", row.prompt_text), ("reference", row.reference)]
        texts += [(c.heading, c.contestant.contestant.answers[sample.number].text) for c in view.columns(report)]
        for name, text in texts:
            yield f"{plain(name)}\n\n{fenced(text)}"


def plain(text: str) -> str:
    """One line that reads as it is: every character Markdown or HTML could take for its own is escaped."""
    line = SPECIAL.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", one_line(text, TEXT_LIMIT))
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def fenced(text: str) -> str:
    """A code block whose fence is longer than any run of backticks inside."""
    shown = block(text, TEXT_LIMIT)
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A pipe table; no cell can break out of it."""
    lines = [headings, ["---"] * len(headings), *rows]
    cells = [[cell if cell == "---" else readable(cell) for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def readable(cell: str) -> str:
    """A cell: figures as they are, other text escaped."""
    return cell if re.fullmatch(r"[-+0-9.,/ –↑↓\[\]]*", cell) else plain(cell)
