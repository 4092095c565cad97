"""The report on a terminal: a scoreboard, the verdicts, what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith.evaluate.gates.gate import Decision
from tunesmith.evaluate.render import view
from tunesmith.evaluate.result import EvaluationReport
from tunesmith.report.legible import one_line, visible

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

STYLES = {Decision.PASS: ("✔", "green"), Decision.WARN: ("▲", "yellow"), Decision.FAIL: ("✘", "red")}


def render_terminal(report: EvaluationReport) -> Group:
    """Render for `rich.console.Console().print`. Answers and names are text, never markup."""
    from rich.console import Group
    from rich.text import Text

    parts = [_scoreboard(report)]
    if report.best_prompt != report.base and (table := _against(report, report.base)):
        parts.append(table)
    lines = [Text(f"note: {visible(note)}", style="yellow") for note in view.notes(report)]
    lines += [_verdict(verdict.decision, f"{verdict.name}: {visible(verdict.reason)}") for verdict in report.verdicts]
    lines.append(Text(" · ".join(f"{name} {one_line(value, 80)}" for name, value in view.facts(report)), style="dim"))
    if report.context.chat_command:
        lines.append(Text(f"Chat with it: {visible(report.context.chat_command)}", style="bold"))
    return Group(*parts, *lines)


def _scoreboard(report: EvaluationReport) -> Table:
    from rich.text import Text

    table = _table(f"{report.context.name}: {len(report.rows)} held-out rows, against the best prompt")
    table.add_column("metric", no_wrap=True)
    for column in view.columns(report):
        # The name alone, a word a line, so that all fits into 80 columns; the part where one contestant plays two.
        words = one_line(column.contestant.name, 24).split()
        parts = [column.part] if report.base == report.best_prompt and column.part != "tuned" else []
        table.add_column(Text("\n".join(parts + words)), justify="right")
    table.add_column(f"difference\n[dim]{_confidence(report)} interval[/dim]", justify="right", no_wrap=True)
    table.add_column("outcome")
    compared = {row[0]: row for row in view.comparison_rows(report, report.best_prompt)}
    for row in view.score_rows(report):
        _, interval, outcome, _, _ = compared.get(row[0], (row[0], "–", "–", "–", "–"))
        table.add_row(*map(Text, row), Text(interval), _coloured(outcome))
    return table


def _against(report: EvaluationReport, baseline: str) -> Table:
    from rich.text import Text

    table = _table(f"Against the base model ({one_line(baseline, 40)})")
    table.add_column("metric", no_wrap=True)
    table.add_column(f"difference\n[dim]{_confidence(report)} interval[/dim]", justify="right", no_wrap=True)
    for name in ("outcome", "p", "wins / ties / losses"):
        table.add_column(name)
    for title, interval, outcome, p_value, tally in view.comparison_rows(report, baseline):
        table.add_row(Text(title), Text(interval), _coloured(outcome), Text(p_value), Text(tally))
    return table


def _table(title: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    return Table(title=Text(visible(title), style="bold"), box=SIMPLE_HEAD, title_justify="left", padding=0)


def _coloured(outcome: str) -> Text:
    from rich.text import Text

    return Text(outcome, style={"better": "green", "worse": "red"}.get(outcome, ""))


def _verdict(decision: Decision, words: str) -> Text:
    from rich.text import Text

    sign, colour = STYLES[decision]
    return Text.assemble((f"{sign} ", colour), words)


def _confidence(report: EvaluationReport) -> str:
    return f"{report.comparisons[0].confidence:.0%}" if report.comparisons else "95%"
