"""An audit on the screen."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table as Grid

from tunesmith.data.audit.report import AuditReport, Finding, PartStats

MARKS = {"error": "[red]✘[/]", "warning": "[yellow]▲[/]", "note": "[cyan]•[/]"}
NUM_SAMPLES = 3
NUM_MALFORMED = 20


def show(report: AuditReport, console: Console) -> None:
    """Print parts, findings with their first rows, the sufficiency verdict and the outcome."""
    console.print(renderable(report))


def renderable(report: AuditReport) -> RenderableType:
    """What `show` prints."""
    lines: list[RenderableType] = [_parts(report)]
    lines += [line for finding in report.findings for line in _finding(finding)]
    lines.append(f"\n[bold]Enough?[/] {escape(report.sufficiency.text)}")
    if report.passed:
        lines.append("[bold green]✔ passed[/]: nothing in data.audit.fail_on was found")
    else:
        lines.append(f"[bold red]✘ failed[/]: {', '.join(sorted({finding.code for finding in report.failed}))}")
    return Group(*lines)


def _parts(report: AuditReport) -> Grid:
    grid = Grid(box=None, pad_edge=False)
    for name in ("part", "rows", "malformed", "median", "95 %", "longest", "classes"):
        grid.add_column(name, justify="left" if name == "part" else "right")
    for part in report.parts:
        grid.add_row(
            escape(part.name),
            f"{part.num_examples:,}",
            f"{part.num_malformed:,}",
            *length_cells(part),
            f"{part.num_labels:,}",
        )
    unit = "tokens" if any(part.tokens for part in report.parts) else "characters"
    grid.caption = f"median, 95 % and longest: {unit} in a conversation"
    grid.caption_justify = "left"
    return grid


def length_cells(part: PartStats) -> tuple[str, str, str]:
    """Median, 95th percentile and longest; in tokens where they were counted."""
    found = part.tokens or part.characters
    return (f"{found.median:,}", f"{found.p95:,}", f"{found.longest:,}") if found else ("–", "–", "–")


def _finding(finding: Finding) -> list[str]:
    lines = [f"\n{MARKS[finding.severity]} [bold]{finding.title}[/] ({finding.code}): {escape(finding.message)}"]
    lines += [f"    {escape(name)}: {count:,}" for name, count in finding.details[:10] if count]
    limit = NUM_MALFORMED if finding.code == "malformed" else NUM_SAMPLES
    lines += [f"    [dim]{escape(sample.where)}[/] {escape(sample.note)}" for sample in finding.samples[:limit]]
    if finding.count > limit and len(finding.samples) >= limit:
        lines.append(f"    [dim]and {finding.count - limit:,} more[/]")
    lines.append(f"    fix: {escape(finding.fix)}")
    return lines
