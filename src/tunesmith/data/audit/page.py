"""An audit as an HTML page with plots."""

from __future__ import annotations

from tunesmith.data.audit.report import AuditReport, Finding, Lengths
from tunesmith.report.page import Block, Chart, Details, Facts, Paragraph, Section, Status, Table, Verdict, render_page
from tunesmith.report.svg import bars, histogram_of

STATUS: dict[str, Status] = {"error": "fail", "warning": "warn", "note": "warn"}


def to_html(report: AuditReport, name: str) -> str:
    """The page; `name` says which data it is about."""
    findings = tuple(block for finding in report.findings for block in _finding(finding))
    sections = [
        Section("Verdict", _verdict(report)),
        Section("Rows", _rows(report)),
        Section("Findings", findings or (Paragraph("None."),)),
    ]
    return render_page(f"Data audit of {name}", sections)


def _verdict(report: AuditReport) -> tuple[Block, ...]:
    gate = ", ".join(report.fail_on) or "nothing"
    banner = (
        Verdict("pass", "Passed", (f"Refused would be: {gate}",))
        if report.passed
        else Verdict("fail", "Failed", tuple(f"{finding.code}: {finding.message}" for finding in report.failed))
    )
    enough = Verdict(
        "warn" if report.sufficiency.level == "insufficient" else "pass", "Enough?", (report.sufficiency.text,)
    )
    return banner, enough


def _rows(report: AuditReport) -> tuple[Block, ...]:
    facts = tuple((part.name, part.num_examples) for part in report.parts)
    blocks: list[Block] = [
        Facts((*facts, ("malformed", sum(part.num_malformed for part in report.parts)))),
        Chart(bars({part.name: part.num_examples for part in report.parts}, title="Rows of each part")),
    ]
    limit = {"sequence_length": float(report.sequence_length)} if report.sequence_length else None
    tokens = {part.name: part.tokens for part in report.parts if part.tokens}
    characters = {part.name: part.characters for part in report.parts if part.characters}
    if tokens:
        blocks.append(_lengths(tokens, "tokens", limit))
    if characters:
        blocks.append(_lengths(characters, "characters", None))
    for part in report.parts:
        if part.labels:
            blocks.append(Chart(bars(part.labels, title=f"Classes of {part.name} ({part.num_labels:,})")))
    if len(report.scripts) > 1:
        blocks.append(Chart(bars(report.scripts, title="Scripts that rows are mostly written in")))
    return tuple(blocks)


def _lengths(found: dict[str, Lengths], unit: str, marks: dict[str, float] | None) -> Chart:
    edges = next(iter(found.values())).edges
    counts = {name: lengths.counts for name, lengths in found.items()}
    words = "; ".join(
        f"{name}: median {x.median:,}, 95 % {x.p95:,}, longest {x.longest:,}" for name, x in found.items()
    )
    svg = histogram_of(edges, counts, f"{unit} in a conversation", title=f"Length in {unit}", marks=marks)
    return Chart(svg, f"{words}. Longer ones than the axis are in the last bar.")


def _finding(finding: Finding) -> tuple[Block, ...]:
    banner = Verdict(
        STATUS[finding.severity], f"{finding.title}: {finding.count:,}", (finding.message, f"What to do: {finding.fix}")
    )
    blocks: list[Block] = [banner]
    counted = (
        *((name, count) for name, count in finding.details if count),
        *((f"in {part}", count) for part, count in finding.counts.items()),
    )
    inside: list[Block] = []
    if counted:
        inside.append(Table(("what", "count"), counted))
    if finding.samples:
        inside.append(Table(("where", "what"), tuple((sample.where, sample.note) for sample in finding.samples)))
    if inside:
        blocks.append(Details("What and where", tuple(inside)))
    return tuple(blocks)
