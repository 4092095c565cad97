"""Charts as inline SVG: lines, histogram, bars, intervals. Each returns `Markup` for a page's `Chart`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunesmith.report.axis import Axis, axis_over, drawable, readable
from tunesmith.report.drawing import NUM_COLOURS, Drawing, shortened, text_width

if TYPE_CHECKING:
    from markupsafe import Markup

WIDTH = 620.0
LINE_POINTS = 600
"""A line with more points than this is drawn through the least and the greatest of each stretch."""


def line_chart(
    series: Mapping[str, Sequence[tuple[float, float]]],
    x_label: str,
    y_label: str,
    *,
    title: str = "",
    height: float = 300.0,
    y_from_zero: bool = False,
) -> Markup:
    """Lines of (x, y) points, one for each named series. A value that is not finite leaves a gap."""
    named = list(series.items())
    every = [point for _, points in named for point in points if all(map(drawable, point))]
    drawing = Drawing(
        WIDTH, height, title, f"Line chart of {y_label} over {x_label}: {', '.join(series) or 'no series'}"
    )
    top = (26.0 if title else 10.0) + (20.0 if len(named) > 1 else 0.0)
    bottom, right = height - 44, WIDTH - 14
    y = axis_over([value for _, value in every] + ([0.0] if y_from_zero else []), bottom, top)
    left = 34 + max(text_width(words) for words in y.labels())
    x = axis_over([value for value, _ in every], left, right, num_ticks=7, snug=True)
    drawing.vertical(y, left, right, y_label)
    drawing.horizontal(x, top, bottom, x_label)
    for index, (name, points) in enumerate(named):
        _draw_line(drawing, x, y, index, name, points)
    if len(named) > 1:
        _legend(drawing, [name for name, _ in named], left, top - 12)
    if not every:
        drawing.text("no data", (left + right) / 2, (top + bottom) / 2, anchor="middle", style="label")
    return drawing.markup()


def _draw_line(
    drawing: Drawing, x: Axis, y: Axis, index: int, name: str, points: Sequence[tuple[float, float]]
) -> None:
    path, pen_down = [], False
    for a, b in _thinned(points):
        if drawable(a) and drawable(b):
            path.append(f"{'L' if pen_down else 'M'}{x.at(a):.1f} {y.at(b):.1f}")
            pen_down = True
        else:
            pen_down = False
    style = f"line {_colour(index)}" + (" dashed" if index >= NUM_COLOURS else "")
    if path:
        drawing.element("path", d=" ".join(path), style=style, tooltip=name)
    if len(points) <= 40:
        for a, b in points:
            if drawable(a) and drawable(b):
                tip = f"{name}: {readable(a)}, {readable(b)}"
                drawing.element("circle", cx=x.at(a), cy=y.at(b), r=2.6, style=f"dot {_colour(index)}", tooltip=tip)


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Keep the least and the greatest of each stretch, so that a spike in a long run stays visible."""
    if len(points) <= LINE_POINTS:
        return points
    stretch = math.ceil(2 * len(points) / LINE_POINTS)
    kept: list[tuple[float, float]] = [points[0]]
    for start in range(0, len(points), stretch):
        group = list(enumerate(points[start : start + stretch]))
        finite = [item for item in group if drawable(item[1][1])] or group[:1]
        ends = {min(finite, key=lambda item: item[1][1])[0], max(finite, key=lambda item: item[1][1])[0]}
        kept.extend(points[start + offset] for offset in sorted(ends))
    return [*kept, points[-1]]


def _legend(drawing: Drawing, names: Sequence[str], left: float, y: float) -> None:
    at = left
    for index, name in enumerate(names):
        words = shortened(name, 28)
        if at + text_width(words) + 24 > WIDTH and index:
            drawing.text(f"+{len(names) - index}", at, y + 4)
            return
        dashed = " dashed" if index >= NUM_COLOURS else ""
        drawing.line(at, y, at + 16, y, f"line {_colour(index)}{dashed}")
        drawing.text(words, at + 21, y + 4)
        at += text_width(words) + 40


def histogram(
    values: Iterable[float],
    x_label: str,
    *,
    title: str = "",
    num_bins: int = 30,
    marks: Mapping[str, float] | None = None,
) -> Markup:
    """Histogram of values, in bins of a round width. `marks` are named vertical lines, such as a limit."""
    edges, counts = binned(values, num_bins)
    return histogram_of(edges, {"": counts}, x_label, title=title, marks=marks)


def binned(values: Iterable[float], num_bins: int = 30) -> tuple[list[float], list[int]]:
    """Count values in about `num_bins` bins of a round width; returns the bin edges (one more than bins) and counts."""
    finite = [value for value in values if drawable(value)]
    axis = axis_over(finite, 0, 1, num_ticks=num_bins)
    edges = list(axis.ticks)
    counts = [0] * (len(edges) - 1)
    width = (edges[-1] - edges[0]) / len(counts)
    for value in finite:
        counts[min(len(counts) - 1, max(0, int((value - edges[0]) / width + 1e-9)))] += 1
    return edges, counts


def histogram_of(
    edges: Sequence[float],
    counts: Mapping[str, Sequence[int]],
    x_label: str,
    *,
    y_label: str = "rows",
    title: str = "",
    marks: Mapping[str, float] | None = None,
    height: float = 240.0,
) -> Markup:
    """Histogram of counts made elsewhere; several series are stacked. `edges` has one item more than each series."""
    marks = marks or {}
    totals = [sum(column) for column in zip(*counts.values(), strict=True)]
    drawing = Drawing(WIDTH, height, title, f"Histogram of {x_label}, {sum(totals):,} {y_label}")
    top = (28.0 if title else 12.0) + (20.0 if len(counts) > 1 else 0.0) + (14.0 if marks else 0.0)
    bottom, right = height - 44, WIDTH - 14
    y = axis_over([0.0, *map(float, totals)], bottom, top, num_ticks=4, whole=True)
    left = 34 + max(text_width(words) for words in y.labels())
    x = axis_over([*edges, *marks.values()], left, right, num_ticks=8, snug=True)
    drawing.vertical(y, left, right, y_label)
    floors = [0.0] * len(totals)
    for series, (name, column) in enumerate(counts.items()):
        for index, count in enumerate(column):
            begin, end = x.at(edges[index]), x.at(edges[index + 1])
            low, high = y.at(floors[index]), y.at(floors[index] + count)
            tip = f"{name + ': ' if name else ''}{readable(edges[index])} to {readable(edges[index + 1])}: {count:,}"
            if count:
                box = {"x": begin + 0.5, "y": high, "width": max(0.5, end - begin - 1), "height": low - high}
                drawing.element("rect", **box, style=f"bar {_colour(series)}", tooltip=tip)
            floors[index] += count
    drawing.horizontal(x, top, bottom, x_label)
    for name, value in marks.items():
        drawing.line(x.at(value), top - 4, x.at(value), bottom, "mark")
        near_end = x.at(value) > (left + right) / 2
        drawing.text(
            f"{name} {readable(value)}", x.at(value), top - 7, anchor="end" if near_end else "start", style="label"
        )
    if len(counts) > 1:
        _legend(drawing, list(counts), left, top - (26 if marks else 12))
    return drawing.markup()


def bars(counts: Mapping[str, float], x_label: str = "rows", *, title: str = "", max_bars: int = 40) -> Markup:
    """Horizontal bars, in the order given; beyond `max_bars` the rest is named in one line below."""
    shown = list(counts.items())[:max_bars]
    rest = list(counts.values())[max_bars:]
    top, row = (28.0 if title else 10.0), 20.0
    bottom = top + row * max(1, len(shown)) + (18 if rest else 0)
    drawing = Drawing(WIDTH, bottom + 44, title, f"Bar chart of {x_label} for {len(counts):,} names")
    left = 14 + max([text_width(shortened(name, 34)) for name, _ in shown], default=0.0)
    x = axis_over([0.0, *(value for _, value in shown)], left, WIDTH - 64, whole=_whole(counts.values()))
    drawing.horizontal(x, top, bottom, x_label, grid=True)
    for index, (name, value) in enumerate(shown):
        middle = top + row * (index + 0.5)
        drawing.text(shortened(name, 34), left - 6, middle + 4, anchor="end")
        begin, end = sorted((x.at(0.0), x.at(value if drawable(value) else 0.0)))
        tip = f"{shortened(name, 300)}: {readable(value)}"
        drawing.element(
            "rect", x=begin, y=middle - 7, width=max(0.5, end - begin), height=14.0, style="bar c0", tooltip=tip
        )
        drawing.text(readable(value), end + 5, middle + 4)
    if rest:
        drawing.text(f"{len(rest):,} more, together {readable(sum(rest))}", left + 6, bottom - 5, style="label")
    return drawing.markup()


@dataclass(frozen=True)
class Interval:
    """One row of an interval chart: a point with the ends of its interval."""

    label: str
    low: float
    middle: float
    high: float


def intervals(rows: Sequence[Interval], x_label: str, *, title: str = "", reference: float | None = 0.0) -> Markup:
    """Points with intervals, one row each; `reference` is a vertical line to compare with."""
    top, row = (28.0 if title else 10.0), 26.0
    bottom = top + row * max(1, len(rows))
    drawing = Drawing(WIDTH, bottom + 44, title, f"Interval chart of {x_label}, {len(rows)} rows")
    left = 14 + max([text_width(shortened(item.label, 34)) for item in rows], default=0.0)
    ends = [value for item in rows for value in (item.low, item.middle, item.high)]
    x = axis_over(ends + ([] if reference is None else [reference]), left, WIDTH - 24)
    drawing.horizontal(x, top, bottom, x_label, grid=True)
    if reference is not None:
        drawing.line(x.at(reference), top, x.at(reference), bottom, "mark")
    for index, item in enumerate(rows):
        middle = top + row * (index + 0.5)
        drawing.text(shortened(item.label, 34), left - 6, middle + 4, anchor="end")
        if all(map(drawable, (item.low, item.middle, item.high))):
            drawing.line(x.at(item.low), middle, x.at(item.high), middle, "line c0")
            for end in (item.low, item.high):
                drawing.line(x.at(end), middle - 5, x.at(end), middle + 5, "line c0")
            tip = f"{item.label}: {readable(item.middle)} ({readable(item.low)} to {readable(item.high)})"
            drawing.element("circle", cx=x.at(item.middle), cy=middle, r=4.5, style="dot c0", tooltip=tip)
        else:
            drawing.text("not known", left + 6, middle + 4, style="label")
    return drawing.markup()


def _colour(index: int) -> str:
    return f"c{index % NUM_COLOURS}"


def _whole(values: Iterable[float]) -> bool:
    return all(value == int(value) for value in values if drawable(value))
