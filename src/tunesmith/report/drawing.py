"""The sheet charts are drawn on: an SVG tree, so that text can never become markup."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from tunesmith.report.axis import Axis

if TYPE_CHECKING:
    from markupsafe import Markup

CHAR_WIDTH = 6.6
"""Pixels of an average letter at the 12 pixels charts are written in."""

NUM_COLOURS = 6
"""Colours in page.css: `c0` to `c5`. Line charts add a dash pattern from the seventh series on."""

_CONTROL = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF], "\N{REPLACEMENT CHARACTER}")
"""Characters that no XML document may hold."""


class Drawing:
    """An SVG being drawn. Colours and fonts come from the page's style sheet, light and dark."""

    def __init__(self, width: float, height: float, title: str, description: str) -> None:
        self.width = width
        self.height = height
        self.root = ElementTree.Element(
            "svg",
            {
                "viewBox": f"0 0 {width:g} {height:g}",
                "class": "plot",
                "role": "img",
                "aria-label": (f"{title}. {description}" if title else description).translate(_CONTROL),
                "style": f"max-width:{width:g}px",
            },
        )
        if title:
            self.text(title, width / 2, 16, anchor="middle", style="title")

    def element(self, name: str, tooltip: str | None = None, **attributes: str | float) -> None:
        """Add one element; `_` in names becomes `-`, `style` is its class."""
        written = {
            "class" if key == "style" else key.replace("_", "-"): f"{value:.2f}"
            if isinstance(value, float)
            else str(value)
            for key, value in attributes.items()
        }
        child = ElementTree.SubElement(self.root, name, written)
        if tooltip:
            ElementTree.SubElement(child, "title").text = tooltip.translate(_CONTROL)

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
        """A straight line."""
        self.element("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), style=style)

    def text(
        self, words: str, x: float, y: float, *, anchor: str = "start", style: str = "", turned: bool = False
    ) -> None:
        """Words at a point; `turned` writes them upwards."""
        attributes = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}
        if style:
            attributes["class"] = style
        if turned:
            attributes["transform"] = f"rotate(-90 {x:.1f} {y:.1f})"
        ElementTree.SubElement(self.root, "text", attributes).text = words.translate(_CONTROL)

    def markup(self) -> Markup:
        """The finished SVG, marked as safe to put into a page."""
        from markupsafe import Markup

        return Markup(ElementTree.tostring(self.root, encoding="unicode", short_empty_elements=True))

    def horizontal(self, axis: Axis, top: float, bottom: float, label: str, *, grid: bool = False) -> None:
        """The axis along the bottom."""
        for tick, words in zip(axis.ticks, axis.labels(), strict=True):
            self.line(
                axis.at(tick),
                top if grid else bottom,
                axis.at(tick),
                bottom + (0 if grid else 4),
                "grid" if grid else "axis",
            )
            self.text(words, axis.at(tick), bottom + 17, anchor="middle")
        self.line(axis.start, bottom, axis.end, bottom, "axis")
        self.text(label, (axis.start + axis.end) / 2, bottom + 35, anchor="middle", style="label")

    def vertical(self, axis: Axis, left: float, right: float, label: str) -> None:
        """The axis along the left, with lines across."""
        for tick, words in zip(axis.ticks, axis.labels(), strict=True):
            self.line(left, axis.at(tick), right, axis.at(tick), "grid")
            self.text(words, left - 7, axis.at(tick) + 4, anchor="end")
        self.text(label, 13, (axis.start + axis.end) / 2, anchor="middle", style="label", turned=True)


def text_width(words: str) -> float:
    """Pixels that words take, roughly: wide letters of East Asian scripts count twice."""
    return CHAR_WIDTH * sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in words)


def shortened(words: str, limit: int) -> str:
    """Words on one line, cut where they would take more room than `limit` average letters."""
    line = " ".join(words[: 4 * limit].split())
    if len(words) <= 4 * limit and text_width(line) <= CHAR_WIDTH * limit:
        return line
    while line and text_width(line) > CHAR_WIDTH * (limit - 1):
        line = line[:-1]
    return f"{line}…"
