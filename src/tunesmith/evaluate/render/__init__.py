"""The report for people: on the terminal, as Markdown, as one HTML page. All text in it is hostile."""

from __future__ import annotations

from pathlib import Path

from tunesmith.evaluate.render.markdown import render_markdown
from tunesmith.evaluate.render.terminal import render_terminal
from tunesmith.evaluate.result import EvaluationReport

__all__ = ["render_html", "render_markdown", "render_terminal", "write_report"]


def render_html(report: EvaluationReport) -> str:
    """Render to one self-contained HTML document. Needs jinja2, which a slim install lacks."""
    from tunesmith.evaluate.render.html import render_html as render

    return render(report)


def write_report(report: EvaluationReport, folder: Path) -> Path:
    """Write `report.json`, `report.md` and `report.html` into a folder, each whole or not at all.

    Returns the path of the page. Raises EvaluationError when the folder cannot be written.
    """
    from tunesmith.errors import EvaluationError
    from tunesmith.store.durable import write_whole

    documents = {
        "report.md": render_markdown(report).encode(),
        "report.html": render_html(report).encode(),
        "report.json": report.to_json(),  # last: what reads it may count on the others
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, document in documents.items():
            write_whole(folder / name, document)
    except OSError as error:
        raise EvaluationError(
            f"the report cannot be written ({error.strerror})",
            where=str(folder),
            fix="free some space, or choose another folder",
        ) from None
    return folder / "report.html"
