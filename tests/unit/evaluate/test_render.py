"""Renderings: what they show, and that hostile text stays text in all three."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from tests.unit.evaluate.made_up import report_of, varied_report
from tunesmith.evaluate.render import render_html, render_markdown, render_terminal
from tunesmith.evaluate.render.markdown import fenced, plain
from tunesmith.evaluate.render.view import samples
from tunesmith.evaluate.result import EvaluationReport
from tunesmith.report.legible import block, number, one_line, probability, signed, visible

HOSTILE = [
    "<script>alert(1)</script>",
    "</pre></article><img src=x onerror=alert(1)>",
    "[red]not red[/red] [/] [link=http://evil]x[/link]",
    "a | b | c\n| --- |\n# heading\n- item",
    "```\nout of the fence\n````\n",
    "![pixel](http://evil/x.png) [x](javascript:alert(1))",
    "\x1b[31mred\x1b[0m \x1b]8;;http://evil\x07link\x1b]8;;\x07",
    "\u202etxet desrever\u202c",
    "&lt;b&gt; &amp; <!-- -->",
    "{{ 7 * 7 }} {% raw %}",
    "http://evil.example www.evil.example me@evil.example",
    "\ud800half",
    "word " * 3000,
]


@pytest.fixture(scope="module")
def hostile() -> EvaluationReport:
    texts = [HOSTILE[n % len(HOSTILE)] for n in range(len(HOSTILE) * 2)]
    tuned = [text if n % 3 else "plain" for n, text in enumerate(texts)]
    everything = " ".join(HOSTILE)
    return report_of(
        texts, ["no"] * len(texts), ["plain words"] * len(texts), tuned, prompt=everything,
        names=(HOSTILE[2], HOSTILE[3], HOSTILE[0]), description=everything,
    ).registered_as("<b>v</b>@1", HOSTILE[4] + HOSTILE[6])  # fmt: skip


def on_terminal(report: EvaluationReport, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(render_terminal(report))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class Elements(HTMLParser):
    """Every element and attribute of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_terminal_shows_scores_intervals_verdicts_and_speed() -> None:
    report = varied_report().registered_as("functions@3", "tunesmith chat functions@3")
    shown = on_terminal(report, width=250)
    for expected in ("base", "zero-shot", "best prompt", "3-shot", "ROUGE-L ↑", "Perplexity ↓", "better",
                     "95% interval",
                     "✔ beats-best-prompt: ", "✔ not-identical-to-base: 12 of 12 answers differ", "4.4 minutes",
                     "Training speed 232 tokens/s", "functions@3",
                     "Chat with it: tunesmith chat functions@3"):  # fmt: skip
        assert expected in shown
    result = report.contestant("tuned").result("rougeL")
    found = report.comparison("rougeL", "3-shot")
    assert found is not None and found.low is not None and found.high is not None
    line = next(line for line in shown.splitlines() if "ROUGE-L ↑" in line)
    assert f"{result.value:.3f}" in line
    assert f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}]" in line


def test_the_terminal_table_fits_eighty_columns() -> None:
    assert max(map(len, on_terminal(varied_report(), width=80).splitlines())) <= 80


def test_hostile_text_is_text_on_the_terminal(hostile: EvaluationReport) -> None:
    shown = on_terminal(hostile, width=300)
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown
    assert "\\x1b[31mred" in shown
    assert "[red]not red" in shown


def test_hostile_text_is_text_in_html(hostile: EvaluationReport) -> None:
    page = render_html(hostile)
    elements = Elements()
    elements.feed(page)
    assert elements.tags.isdisjoint({"script", "img", "a", "iframe", "b", "object", "link"})
    assert not any(name.startswith("on") or name in {"href", "src"} for name in elements.attributes)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", page)
    for text in (HOSTILE[0], HOSTILE[2], HOSTILE[5], HOSTILE[8], HOSTILE[9], "?half"):
        assert text in elements.text
    assert re.search(r"… \([89],[0-9]{3} more characters\)", elements.text)
    page.encode()


def test_hostile_text_is_text_in_markdown(hostile: EvaluationReport) -> None:
    document = render_markdown(hostile)
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    blocks = parser.parse(document)
    inline = [child for token in blocks for child in token.children or ()]
    assert {token.type for token in (*blocks, *inline)}.isdisjoint(
        {"html_block", "html_inline", "link_open", "image", "em_open", "s_open", "code_inline", "code_block", "hr"}
    )
    # Emphasis and headings are the report's own: gate names, and the titles of its parts.
    num_headings = sum(token.type == "heading_open" for token in blocks)
    assert num_headings == 1 + 5 + len(samples(hostile))
    fences = [token.content.removesuffix("\n") for token in blocks if token.type == "fence"]
    assert any(content == visible(HOSTILE[4]) for content in fences)
    assert any(content == visible(HOSTILE[3]) for content in fences)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", document)
    for row in re.findall(r"(?m)^\|.*$", document):
        assert row.endswith(" |")


def test_markdown_tables_keep_their_columns(hostile: EvaluationReport) -> None:
    widths: list[set[int]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(render_markdown(hostile)):
        if token.type == "table_open":
            widths.append(set())
        elif token.type == "tr_open":
            cells = 0
        elif token.type in {"th_close", "td_close"}:
            cells += 1
        elif token.type == "tr_close":
            widths[-1].add(cells)
    # Facts, scores, two comparisons, prompts, provenance. A pipe that broke out would end the table or move a cell.
    assert widths == [{2}, {4}, {5}, {5}, {3}, {2}]


@pytest.mark.parametrize("text", [*(text for text in HOSTILE[:-1] if "\n" not in text), "1. one", "- x", "4.4 x", "=="])
def test_escaped_markdown_reads_as_it_was(text: str) -> None:
    rendered = MarkdownIt("commonmark").enable("table").render(f"| x |\n| --- |\n| {plain(text)} |")
    elements = Elements()
    elements.feed(rendered)
    assert elements.tags == {"table", "thead", "tbody", "tr", "th", "td"}
    assert one_line(text, 1000).encode("utf-8", "replace") in elements.text.encode("utf-8", "replace")
    in_a_list = Elements()
    in_a_list.feed(MarkdownIt("commonmark").render(f"- {plain(text)}"))
    assert in_a_list.tags == {"ul", "li"}


@pytest.mark.parametrize("text", ["a ``` b", "````", "~~~", "", "    indented"])
def test_a_fence_cannot_be_closed_from_inside(text: str) -> None:
    tokens = MarkdownIt("commonmark").parse(f"{fenced(text)}\n\nafter")
    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]
    assert tokens[0].content == f"{text}\n"


def test_the_page_has_curves_intervals_samples_and_the_settings() -> None:
    report = varied_report()
    page = render_html(report)
    elements = Elements()
    elements.feed(page)
    for expected in ("loss (nats per trained token)", "tokens per second", "improvement over the best prompt, share",
                     "Largest gain: rows.jsonl:", "the marked one",
                     "decoding: max_new_tokens", "signature: ROUGE-L", "machine: cpu", "2 cores", "torch",
                     *(report.rows[sample.number].reference for sample in samples(report))):  # fmt: skip
        assert expected in elements.text
    assert "://" not in re.sub(r"http://www\.w3\.org/\S+", "", page)  # nothing is fetched


def test_samples_are_the_largest_gains_the_largest_losses_and_some_at_random() -> None:
    references = [f"one two three {n}" for n in range(30)]
    best = ["one two"] * 15 + references[15:20] + ["one two"] * 10
    tuned = references[:5] + ["one two"] * 10 + ["nothing"] * 5 + ["one two"] * 10
    report = report_of(references, ["x"] * 30, best, tuned)
    picked = samples(report)
    rows = {kind: [one.number for one in picked if one.kind == kind] for kind in {one.kind for one in picked}}
    assert rows["largest gain"] == [0, 1, 2]
    assert set(rows["largest loss"]) <= set(range(15, 20))
    assert len(rows["largest loss"]) == len(rows["drawn at random"]) == 3
    assert len({one.number for one in picked}) == 9
    assert samples(report) == picked
    assert samples(report, seed=1) != picked


def test_labels_are_listed_one_by_one() -> None:
    from tests.unit.evaluate.made_up import answers_of, context, rows_of
    from tunesmith.evaluate.answers import Contestant
    from tunesmith.evaluate.build import build_report
    from tunesmith.recipe.evaluate import EvaluateSection, GateSection

    references = ["card <lost>", "card stolen"] * 10
    contestants = [
        Contestant("zero-shot", "prompt", "", answers_of(["card stolen"] * 20)),
        Contestant("tuned", "tuned", "", answers_of(references)),
    ]
    section = EvaluateSection(metrics=("label_f1",), gate=GateSection(metric="label_f1"), resamples=200)
    report = build_report(
        rows_of(references), contestants, section, context(), base="zero-shot", best_prompt="zero-shot", tuned="tuned"
    )
    page = render_html(report)
    assert "All 2 labels" in page
    assert "card &lt;lost&gt;" in page
    assert "base and best prompt" in on_terminal(report)


def test_numbers_are_written_for_people() -> None:
    assert (number(0.32649, 1), number(32.649, 100), number(1234.5, None)) == ("0.326", "32.65", "1,234.50")
    assert (signed(-0.02, 1), signed(2.0, None)) == ("-0.020", "+2.00")
    assert (probability(None), probability(0.0002), probability(0.034)) == ("–", "< 0.001", "0.034")
    assert one_line("a\n b" * 50, 10) == "a ba ba b…"
    assert block("abcdef", 3) == "abc… (3 more characters)"
    assert visible("ок 返回 👩‍🚀 \x07\u2028\u202e\U000e0041") == "ок 返回 👩‍🚀 \\x07\\u2028\\u202e\\U000e0041"
