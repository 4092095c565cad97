"""Charts are well-formed, legible and cannot be broken by what is in them."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.report.axis import axis_over, readable
from tunesmith.report.drawing import shortened
from tunesmith.report.svg import Interval, bars, binned, histogram, histogram_of, intervals, line_chart

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("text")]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0, 100], ("0", "20", "40", "60", "80", "100")),
        ([0, 1], ("0.0", "0.2", "0.4", "0.6", "0.8", "1.0")),
        ([0.101, 0.149], ("0.10", "0.11", "0.12", "0.13", "0.14", "0.15")),
        ([0, 12], ("0.0", "2.5", "5.0", "7.5", "10.0", "12.5")),
        ([-1, 1], ("-1.0", "-0.5", "0.0", "0.5", "1.0")),
        ([0, 9000], ("0", "2,000", "4,000", "6,000", "8,000", "10,000")),
        ([7, 7], ("6.0", "6.5", "7.0", "7.5", "8.0")),
        ([], ("0.0", "0.2", "0.4", "0.6", "0.8", "1.0")),
        ([math.nan, math.inf, 0, 5], ("0", "1", "2", "3", "4", "5")),
    ],
)
def test_ticks_are_round_and_cover_the_data(values: list[float], labels: tuple[str, ...]) -> None:
    assert axis_over(values, 0, 100).labels() == labels


def test_counts_get_whole_ticks() -> None:
    assert axis_over([0, 2], 0, 100, whole=True).ticks == (0, 1, 2)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-1e99, 1e99), max_size=20))
def test_any_finite_values_lie_on_the_axis(values: list[float]) -> None:
    axis = axis_over(values, 0, 100)
    assert 1 <= len(axis.ticks) <= 15
    assert all(-1e-6 <= axis.at(value) <= 100 + 1e-6 for value in values)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"),
        (12345, "12,345"),
        (0.15234, "0.1523"),
        (3.14159, "3.142"),
        (123.456, "123.5"),
        (1e-7, "1.000e-07"),
        (math.nan, "nan"),
    ],
)
def test_numbers_read_well(value: float, words: str) -> None:
    assert readable(value) == words


def test_line_chart_has_axes_legend_and_one_path_a_series() -> None:
    svg = line_chart(
        {"train": [(0, 2.0), (10, 1.0)], "validation": [(0, 2.2), (10, 1.4)]}, "step", "loss", title="Loss"
    )
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label") == "Loss. Line chart of loss over step: train, validation"
    assert len(list(root.iter("path"))) == 2
    assert {"Loss", "step", "loss", "train", "validation", "0", "10"} <= set(texts(svg))


def test_a_gap_where_a_value_is_not_a_number() -> None:
    svg = line_chart({"loss": [(0, 1.0), (1, math.nan), (2, 1.0), (3, 2.0)]}, "step", "loss")
    (path,) = ElementTree.fromstring(svg).iter("path")
    assert path.get("d", "").count("M") == 2


def test_a_spike_in_a_long_run_stays_visible() -> None:
    points = [(float(step), 1.0) for step in range(50_000)]
    points[31_337] = (31_337.0, 9.0)
    svg = line_chart({"loss": points}, "step", "loss")
    (path,) = ElementTree.fromstring(svg).iter("path")
    heights = {
        float(part.split(" ")[1]) for part in path.get("d", "")[1:].replace("L", "|").replace(" |", "|").split("|")
    }
    assert len(heights) == 2
    assert len(svg) < 40_000


def test_histogram_counts_every_value_once() -> None:
    values = [0, 1, 1, 2, 9.5, 10, 10]
    edges, counts = binned(values, 10)
    assert (edges[0], edges[-1], sum(counts)) == (0, 10, 7)
    assert counts == [1, 2, 1, 0, 0, 0, 0, 0, 0, 3]
    svg = histogram(values, "tokens", marks={"limit": 8})
    assert "limit 8" in texts(svg)
    assert len(list(ElementTree.fromstring(svg).iter("rect"))) == 4


def test_stacked_histogram_names_its_series() -> None:
    svg = histogram_of([0, 1, 2], {"train": [3, 1], "test": [1, 0]}, "tokens")
    assert {"train", "test", "tokens", "rows"} <= set(texts(svg))


def test_bars_beyond_the_limit_are_summed_not_dropped() -> None:
    svg = bars({f"label {n}": n for n in range(60, 0, -1)}, max_bars=50)
    assert "10 more, together 55" in texts(svg)
    assert len(list(ElementTree.fromstring(svg).iter("rect"))) == 50


def test_intervals_show_the_reference_and_what_is_not_known() -> None:
    svg = intervals([Interval("tuned", 0.02, 0.06, 0.1), Interval("base", math.nan, 0.0, 0.0)], "difference")
    assert {"tuned", "base", "not known"} <= set(texts(svg))
    assert len(list(ElementTree.fromstring(svg).iter("circle"))) == 1


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs", "Cc"])),
        st.lists(st.tuples(NUMBERS, NUMBERS), max_size=5),
        max_size=8,
    )
)
def test_line_chart_takes_anything(series: dict[str, list[tuple[float, float]]]) -> None:
    ElementTree.fromstring(line_chart(series, "x", "y"))


@settings(deadline=None, max_examples=50)
@given(st.lists(NUMBERS, max_size=30), st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_other_charts_take_anything(values: list[float], words: str) -> None:
    ElementTree.fromstring(histogram(values, words))
    ElementTree.fromstring(bars({f"{words}{index}": value for index, value in enumerate(values)}, words, title=words))
    ElementTree.fromstring(intervals([Interval(words, value, value, value) for value in values], words))


@pytest.mark.parametrize(
    ("words", "cut"),
    [
        ("short", "short"),
        ("two\nlines", "two lines"),
        ("abcdefghijkl", "abcdefghi…"),
        ("日本語日本語", "日本語日…"),
        ("x" * 99, "xxxxxxxxx…"),
    ],
)
def test_long_labels_are_cut_by_the_room_they_take(words: str, cut: str) -> None:
    assert shortened(words, 10) == cut
