"""A page: titled sections of blocks, rendered to one HTML file with its style inside.

All text is hostile: it is escaped on the way out. Only charts, `Markup` drawn by this package, go in as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Literal

from tunesmith.report.axis import readable

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

Status = Literal["pass", "warn", "fail"]
Cell = str | int | float | None


@dataclass(frozen=True)
class Paragraph:
    """Plain text; line breaks are kept."""

    text: str


@dataclass(frozen=True)
class Verdict:
    """A banner: what came out, and why."""

    status: Status
    text: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """Short named values, in a row."""

    items: tuple[tuple[str, Cell], ...]


@dataclass(frozen=True)
class Table:
    """Rows under columns. Numbers stand at the right with about four digits; `highlight` is the row to mark."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    highlight: int | None = None


@dataclass(frozen=True)
class Chart:
    """An inline plot from `tunesmith.report.svg`."""

    svg: Markup
    caption: str = ""


@dataclass(frozen=True)
class SideBySide:
    """One sample: what was asked, and named answers next to each other (the reference can be one of them)."""

    prompt: str
    answers: tuple[tuple[str, str], ...]
    heading: str = ""
    note: str = ""


@dataclass(frozen=True)
class Command:
    """Something to type, or other text where every space counts."""

    text: str


@dataclass(frozen=True)
class Details:
    """Blocks that are folded away until someone looks."""

    summary: str
    blocks: tuple[Block, ...]


Block = Paragraph | Verdict | Facts | Table | Chart | SideBySide | Command | Details


@dataclass(frozen=True)
class Section:
    """A heading with blocks under it. Charts that follow one another share a line where there is room."""

    title: str
    blocks: tuple[Block, ...] = field(default_factory=tuple)


def render_page(title: str, sections: Sequence[Section], *, subtitle: str = "", footer: str = "") -> str:
    """Render a page to one self-contained HTML document, light and dark, ready to print. Needs jinja2."""
    page: str = _template().render(title=title, subtitle=subtitle, sections=sections, footer=footer)
    # Half a surrogate pair is legal in a Python string and in JSON, but not in a file.
    return page.encode("utf-8", "replace").decode("utf-8")


@cache
def _template() -> jinja2.Template:
    import jinja2
    from markupsafe import Markup

    loader = jinja2.PackageLoader("tunesmith.report", "")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cell"] = _cell
    environment.filters["kind"] = lambda block: type(block).__name__
    environment.tests["number"] = lambda value: isinstance(value, int | float)
    style = loader.get_source(environment, "page.css")[0]
    return environment.get_template("page.jinja", globals={"style": Markup(style)})


def _cell(value: Cell) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else readable(value)
