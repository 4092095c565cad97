"""The report as one self-contained HTML page: verdict, curves, intervals, side-by-side samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunesmith.evaluate.gates.gate import Decision
from tunesmith.evaluate.render import view
from tunesmith.evaluate.result import EvaluationReport, TrainingSummary
from tunesmith.report import page
from tunesmith.report.legible import block, number, one_line, visible
from tunesmith.report.svg import Interval, intervals, line_chart

if TYPE_CHECKING:
    from markupsafe import Markup

TEXT_LIMIT = 6_000


def render_html(report: EvaluationReport) -> str:
    """Render to one HTML document with its style and charts inside. Needs jinja2; all text is escaped by the page."""
    sections = [
        page.Section("Result", _result(report)),
        page.Section("Scores", _scores(report)),
        page.Section("Differences", _differences(report)),
    ]
    if report.context.training and report.context.training.curve:
        sections.append(page.Section("Training", _training(report.context.training)))
    if report.selection:
        sections.append(page.Section("Prompts that were tried", _selection(report)))
    sections += [
        page.Section("Samples", _samples(report)),
        page.Section("How it was made", (page.Table(("what", "value"), _cells(view.provenance(report))),)),
    ]
    title = f"Evaluation of {visible(report.context.name)}"
    subtitle = f"{one_line(report.context.model, 200)}, {len(report.rows):,} held-out rows"
    return page.render_page(title, sections, subtitle=subtitle, footer=f"Made at {visible(report.context.created_at)}.")


def _result(report: EvaluationReport) -> tuple[page.Block, ...]:
    decisions = {verdict.decision for verdict in report.verdicts}
    worst: page.Status = "fail" if Decision.FAIL in decisions else "warn" if Decision.WARN in decisions else "pass"
    reasons = tuple(f"{verdict.name}: {visible(verdict.reason)}" for verdict in report.verdicts)
    blocks: list[page.Block] = [page.Verdict(worst, view.headline(report), reasons)]
    blocks.append(page.Facts(tuple((name, visible(value)) for name, value in view.facts(report))))
    if report.context.chat_command:
        blocks.append(page.Command(visible(report.context.chat_command)))
    return tuple(blocks)


def _scores(report: EvaluationReport) -> tuple[page.Block, ...]:
    shown = view.columns(report)
    described = tuple((column.heading, block(column.contestant.contestant.description, TEXT_LIMIT)) for column in shown)
    blocks: list[page.Block] = [
        page.Table(("metric", *(column.heading for column in shown)), _cells(view.score_rows(report))),
        page.Details("What each contestant was given", (page.Table(("contestant", "how it answered"), described),)),
    ]
    labels = (
        report.contestant(report.tuned).result("label_f1").details.get("labels") if _has(report, "label_f1") else None
    )
    if labels:
        rows = tuple(
            (visible(str(one["label"])), one["precision"], one["recall"], one["f1"], one["num_rows"]) for one in labels
        )
        table = page.Table(("label", "precision", "recall", "F1", "rows"), rows, caption="Tuned model, label by label")
        blocks.append(page.Details(f"All {len(rows)} labels", (table,)))
    return tuple(blocks)


def _differences(report: EvaluationReport) -> tuple[page.Block, ...]:
    blocks: list[page.Block] = []
    headings = ("metric", "difference and interval", "outcome", "p", "wins / ties / losses")
    for baseline in dict.fromkeys((report.best_prompt, report.base)):
        part = "the best prompt" if baseline == report.best_prompt else "the base model"
        caption = f"Tuned minus {part} ({one_line(baseline, 80)})"
        blocks.append(page.Table(headings, _cells(view.comparison_rows(report, baseline)), caption=caption))
        blocks += [page.Chart(chart) for chart in _interval_charts(report, baseline, part)]
    blocks += [page.Paragraph(visible(note)) for note in view.notes(report)]
    blocks.append(
        page.Paragraph(
            "An interval that does not reach zero is a difference that another choice of test rows would hardly undo. "
            "One metric decides; with several metrics some interval misses zero by chance."
        )
    )
    return tuple(blocks)


def _interval_charts(report: EvaluationReport, baseline: str, part: str) -> list[Markup]:
    """One chart for each scale, because shares and perplexities share no axis; turned so that right is better."""
    groups: dict[str, list[Interval]] = {}
    for result in view.metrics(report):
        found = report.comparison(result.name, baseline)
        low, high = (found.improvement_low, found.improvement_high) if found else (None, None)
        if found is None or low is None or high is None or result.higher_is_better is None:
            continue
        groups.setdefault(result.unit, []).append(Interval(result.title, low, found.improvement, high))
    return [
        intervals(rows, f"improvement over {part}, {unit}", title="Right of the line is better")
        for unit, rows in groups.items()
    ]


def _training(training: TrainingSummary) -> tuple[page.Block, ...]:
    losses = {
        name: [(float(point.step), value) for point in training.curve if (value := getattr(point, field)) is not None]
        for name, field in (("training", "train_loss"), ("validation", "validation_loss"))
    }
    speed = [(float(p.step), p.tokens_per_second) for p in training.curve if p.tokens_per_second is not None]
    drawn = {name: points for name, points in losses.items() if points}
    blocks: list[page.Block] = [page.Chart(line_chart(drawn, "step", "loss (nats per trained token)", title="Loss"))]
    if speed:
        chart = line_chart({"speed": speed}, "step", "tokens per second", title="Speed", y_from_zero=True)
        blocks.append(page.Chart(chart))
    return tuple(blocks)


def _selection(report: EvaluationReport) -> tuple[page.Block, ...]:
    selection = report.selection
    if selection is None:
        return ()
    maximum = view.deciding_metric(report).maximum
    rows = tuple(
        (one_line(tried.name, 80), block(tried.description, TEXT_LIMIT), number(tried.value, maximum))
        for tried in selection.tried
    )
    best = next((place for place, tried in enumerate(selection.tried) if tried.name == selection.best), None)
    caption = f"On {selection.num_rows} validation rows; the marked one is reported on the test rows"
    return (page.Table(("prompt", "what it is", selection.title), rows, caption=caption, highlight=best),)


def _samples(report: EvaluationReport) -> tuple[page.Block, ...]:
    metric = view.deciding_metric(report)
    blocks = []
    for sample in view.samples(report):
        row = report.rows[sample.number]
        answers = [("reference", block(row.reference, TEXT_LIMIT))]
        scores = []
        for column in view.columns(report):
            answers.append(
                (column.heading, block(column.contestant.contestant.answers[sample.number].text, TEXT_LIMIT))
            )
            score = column.contestant.result(metric.name).per_example[sample.number]
            scores.append(f"{column.part} {number(score, metric.maximum)}")
        heading = f"{sample.kind.capitalize()}: {one_line(row.origin, 200)}"
        note = f"{metric.title}: {', '.join(scores)}"
        blocks.append(page.SideBySide(block(row.prompt_text, TEXT_LIMIT), tuple(answers), heading=heading, note=note))
    return tuple(blocks)


def _cells(rows: Sequence[tuple[str, ...]]) -> tuple[tuple[page.Cell, ...], ...]:
    return tuple(tuple(visible(cell) for cell in row) for row in rows)


def _has(report: EvaluationReport, metric: str) -> bool:
    return any(result.name == metric for result in view.metrics(report))
