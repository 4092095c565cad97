"""A page is one file, shows every block, and treats all text as hostile."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.report.page import (
    Chart,
    Command,
    Details,
    Facts,
    Paragraph,
    Section,
    SideBySide,
    Table,
    Verdict,
    render_page,
)
from tunesmith.report.svg import bars

VOID = {"meta", "br"}
HOSTILE = "</title></style></pre></svg><script>alert(1)</script><img src=x onerror=alert(1)> \" ' {{ 7*7 }} {% raw %}"


class Checker(HTMLParser):
    """Reads a page as a browser would, and insists that every tag closes the one it should."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page_of(text: str) -> str:
    blocks = (
        Verdict("fail", text, (text,)),
        Paragraph(text),
        Facts(((text, text), ("rows", 1234))),
        Table((text, "n"), ((text, 0.15234), (None, 3)), caption=text, highlight=0),
        Chart(bars({text: 3}, text, title=text), text),
        SideBySide(text, ((text, text),), text, text),
        Command(text),
        Details(text, (Paragraph(text),)),
    )
    return render_page(text, [Section(text, blocks)], subtitle=text, footer=text)


def checked(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


def test_hostile_text_stays_text() -> None:
    page = page_of(HOSTILE)
    checker = checked(page)
    assert "script" not in checker.seen and "img" not in checker.seen
    assert not [name for name, _ in checker.attributes if name.startswith("on")]
    assert "{{ 7*7 }}" in page and "49" not in re.sub(r"<svg.*?</svg>|<style>.*?</style>", "", page, flags=re.S)


def test_a_chart_that_is_plain_text_is_escaped() -> None:
    page = render_page("t", [Section("s", (Chart("<svg onload=alert(1)>"),))])  # type: ignore[arg-type]
    assert "&lt;svg onload" in page


def test_nothing_is_fetched() -> None:
    page = page_of("plain")
    assert not re.search(r"(src|href)\s*=|@import|url\(|https?://", page)
    assert "default-src 'none'" in page


def test_numbers_are_readable_and_at_the_right() -> None:
    page = render_page("t", [Section("s", (Table(("a", "b"), (("x", 1234567), (None, 0.123456))),))])
    assert '<td class="number">1,234,567</td>' in page
    assert '<td class="number">0.1235</td>' in page
    assert "<td>–</td>" in page


def test_dark_and_print_styles_are_there() -> None:
    page = page_of("plain")
    assert "prefers-color-scheme: dark" in page and "@media print" in page


@settings(deadline=None, max_examples=50)
@given(st.text())
def test_any_text_makes_a_whole_page(text: str) -> None:
    checked(page_of(text)).close()


def test_half_a_surrogate_pair_can_be_written() -> None:
    assert page_of("\ud800").encode("utf-8")
