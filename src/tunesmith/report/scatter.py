"""Named points on two axes, some of them joined by steps: what is had for what price."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunesmith.report.axis import axis_over, drawable, readable
from tunesmith.report.drawing import Drawing, shortened, text_width

if TYPE_CHECKING:
    from markupsafe import Markup

WIDTH, HEIGHT = 620.0, 320.0


@dataclass(frozen=True)
class Point:
    """A name and where it lies."""

    name: str
    x: float
    y: float


def scatter(
    points: Sequence[Point],
    x_label: str,
    y_label: str,
    *,
    front: Collection[str] = (),
    marked: str | None = None,
    title: str = "",
) -> Markup:
    """Draw points; those named in `front` are filled, written beside and joined by steps, `marked` has a ring.

    Less is better on both axes: between two points of the front, what is had is that of the cheaper one. Points that
    are not finite are left out.
    """
    shown = [point for point in points if drawable(point.x) and drawable(point.y)]
    drawing = Drawing(WIDTH, HEIGHT, title, f"{y_label} against {x_label} of {len(shown)} points")
    top, bottom, right = 28.0 if title else 12.0, HEIGHT - 44, WIDTH - 24
    y = axis_over([point.y for point in shown], bottom, top)
    left = 34 + max(text_width(words) for words in y.labels())
    x = axis_over([0.0, *(point.x for point in shown)], left, right, num_ticks=6)
    drawing.vertical(y, left, right, y_label)
    drawing.horizontal(x, top, bottom, x_label)
    best = sorted((point for point in shown if point.name in front), key=lambda point: point.x)
    if len(best) > 1:
        path = [f"M{x.at(best[0].x):.1f} {y.at(best[0].y):.1f}"]
        path += [f"H{x.at(point.x):.1f}V{y.at(point.y):.1f}" for point in best[1:]]
        drawing.element("path", d="".join(path), style="line c1 dashed")
    for point in shown:
        on_front = point.name in front
        tip = f"{point.name}: {readable(point.x)}, {readable(point.y)}"
        style = f"dot {'c1' if on_front else 'c0'}"
        drawing.element("circle", cx=x.at(point.x), cy=y.at(point.y), r=4.0, style=style, tooltip=tip)
        if point.name == marked:
            drawing.element("circle", cx=x.at(point.x), cy=y.at(point.y), r=9.0, style="line c1")
        if on_front:
            words = shortened(point.name, 24)
            near_end = x.at(point.x) + text_width(words) > right
            drawing.text(words, x.at(point.x) + (-8 if near_end else 8), y.at(point.y) - 8,
                         anchor="end" if near_end else "start")  # fmt: skip
    if not shown:
        drawing.text("no data", (left + right) / 2, (top + bottom) / 2, anchor="middle", style="label")
    return drawing.markup()
