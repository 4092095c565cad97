"""People at the review page, in a real browser: by keyboard alone, through a reload, side by side, and while it fails.

With TUNESMITH_KEEP_SCREENSHOTS=1 the picture of docs/review.md is taken anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.review_site import Site, chromium, enter, site
from tunesmith.review.item import Answer, NewItem
from tunesmith.review.rubric import Rubric

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "review.png"
KEEP = os.environ.get("TUNESMITH_KEEP_SCREENSHOTS", "") not in ("", "0")
HOSTILE = (
    "</div></main><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "<style>*{display:none}</style><base href='https://evil.example/'>{{ 7*7 }}"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Each test judges answers of a name of its own."""
    return str(request.node.name).replace("_", "-")[:60]


def pairs(name: str, num: int) -> list[NewItem]:
    return [
        NewItem(
            name, "pair", [{"role": "user", "content": f"What does function {n} do?"}],
            [Answer("v2", f"It adds {n} to its argument."), Answer("v1", f"This is function {n}.")],
        )
        for n in range(num)
    ]  # fmt: skip


def singles(name: str, num: int) -> list[NewItem]:
    return [
        NewItem(name, "answer", [{"role": "user", "content": f"Say {n}"}], [Answer("v2", f"{n}!")]) for n in range(num)
    ]


def item_of(page: Page) -> str:
    return str(page.evaluate("document.querySelector('main').dataset.item"))


def press_and_wait(page: Page, key: str) -> None:
    """A key that leads to another item, or to the end."""
    before = page.locator("main").get_attribute("data-item")
    page.keyboard.press(key)
    page.wait_for_function("before => document.querySelector('main').dataset.item !== before", arg=before)


def test_a_whole_session_by_keyboard_and_through_a_reload(browser: Browser, place: Site, name: str) -> None:
    place.reviews.add([*pairs(name, 4), *singles(name, 2)])
    place.reviews.set_rubric(name, Rubric(raters=1, gold_share=0, random_share=0))
    page, complaints = enter(browser, place, "ann")
    page.keyboard.press("Tab")
    while page.evaluate("document.activeElement.textContent") != name:
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#rating")

    said: dict[str, str | None] = {}
    keys = iter(["1", "ArrowRight", "=", "n"])
    for number in range(6):
        item = item_of(page)
        assert page.locator("header label").inner_text() == f"{number} of 6 rated"
        if place.reviews.item(item).kind == "pair":
            key = next(keys)
            page.keyboard.press(key)
            shown = [one.source for one in place.reviews.item(item).shown_to("ann")]
            said[item] = {"1": shown[0], "ArrowRight": shown[1], "=": "tie", "n": "unsure"}[key]
        else:
            for digit in "432":
                page.keyboard.press(digit)
            said[item] = None
        if number in (2, 4):  # a reload in the middle of an item: it stays, and so does what was chosen
            chosen = page.locator("input:checked").evaluate_all("all => all.map(one => one.name + one.value)")
            page.reload()
            assert item_of(page) == item
            assert page.locator("input:checked").evaluate_all("all => all.map(one => one.name + one.value)") == chosen
        press_and_wait(page, "Enter")
    assert page.locator("h1").inner_text() == "Nothing is left to judge"
    ratings = {one.item: one for one in place.reviews.ratings(name)}
    assert {item: one.choice for item, one in ratings.items()} == said
    assert [one.scales for one in ratings.values() if one.scales] == [
        {"v2": {"correctness": 4, "helpfulness": 3, "style": 2}}
    ] * 2
    assert all(one.seconds is not None and one.seconds < 60 for one in ratings.values())
    assert complaints == []


def test_going_back_corrections_and_help_by_keyboard(browser: Browser, place: Site, name: str) -> None:
    place.reviews.add(pairs(name, 2))
    place.reviews.set_rubric(name, Rubric(raters=1, gold_share=0))
    page, complaints = enter(browser, place, "ann")
    page.goto(f"{place.address}/rate/{name}")
    first = item_of(page)
    page.keyboard.press("Enter")  # nothing is chosen: the browser says so, and nothing is sent
    assert item_of(page) == first and place.reviews.ratings(name) == []
    page.keyboard.press("?")
    assert page.locator("#help").get_attribute("open") is not None
    page.keyboard.press("2")
    page.keyboard.press("c")
    right = place.reviews.item(first).shown_to("ann")[1]
    assert page.locator("#correction").input_value() == right.text, "what was chosen is what is mended"
    page.keyboard.press("Control+a")
    page.keyboard.type("First line, 1 and 2.\nu c ? 0")
    page.keyboard.press("Escape")
    press_and_wait(page, "Enter")
    press_and_wait(page, "u")
    assert item_of(page) == first and page.locator(".note").count() == 1
    assert page.locator("input[name=choice]:checked").get_attribute("value") == "right"
    page.keyboard.press("c")
    assert page.locator("#correction").input_value() == "First line, 1 and 2.\nu c ? 0"
    page.keyboard.press("Escape")
    page.keyboard.press("0")
    press_and_wait(page, "Enter")
    page.go_back()
    page.wait_for_function("item => document.querySelector('main').dataset.item === item", arg=first)
    (rating,) = place.reviews.ratings(name)
    assert (rating.choice, rating.correction) == ("tie", "First line, 1 and 2.\nu c ? 0")
    assert complaints == []


def test_two_at_once_and_a_server_that_dies_lose_nothing(browser: Browser, place: Site, name: str) -> None:
    place.reviews.add(pairs(name, 8))
    place.reviews.set_rubric(name, Rubric(gold_share=0))
    (ann, _), (bob, _) = enter(browser, place, "ann"), enter(browser, place, "bob")
    said: dict[tuple[str, str], str] = {}

    def rate(page: Page, rater: str, side: int) -> None:
        item = item_of(page)
        page.keyboard.press(str(side + 1))
        press_and_wait(page, "Enter")
        said[item, rater] = place.reviews.item(item).shown_to(rater)[side].source

    for page in (ann, bob):
        page.goto(f"{place.address}/rate/{name}")
    for number in range(3):
        rate(ann, "ann", number % 2)
        rate(bob, "bob", (number + 1) % 2)

    item = item_of(ann)
    ann.keyboard.press("2")
    ann.keyboard.press("c")
    ann.keyboard.press("Control+a")
    ann.keyboard.type("Half written")
    place.kill()
    ann.keyboard.press("Control+Enter")
    ann.wait_for_selector("#trouble:visible")
    assert item_of(ann) == item and ann.locator("#correction").input_value() == "Half written"
    place.start()
    ann.keyboard.type(" and then whole.")
    press_and_wait(ann, "Control+Enter")
    assert ann.locator("#trouble").is_hidden()
    said[item, "ann"] = place.reviews.item(item).shown_to("ann")[1].source
    for number in range(4):
        rate(ann, "ann", number % 2)
    for number in range(5):
        rate(bob, "bob", number % 2)
    assert {(one.item, one.rater): one.choice for one in place.reviews.ratings(name)} == said
    assert len(said) == 16
    assert [one.answer for one in place.reviews.corrections(name)] == ["Half written and then whole."]
    assert {page.locator("h1").inner_text() for page in (ann, bob)} <= {
        "Nothing is left to judge",
        "Which answer is better?",
    }


def test_the_next_rater_in_a_tab_does_not_see_what_the_last_one_began(browser: Browser, place: Site, name: str) -> None:
    (item,) = place.reviews.add(pairs(name, 1))
    address = f"{place.address}/rate/{name}/{item}"
    page, _ = enter(browser, place, "ann")

    def begin() -> None:
        page.goto(address)
        page.keyboard.press("c")
        page.keyboard.press("Control+a")
        page.keyboard.type("For nobody else")
        page.reload()
        assert page.locator("#correction").input_value() == "For nobody else"

    def come(rater: str) -> None:
        page.locator("input[name=key]").fill(place.key(rater))
        page.keyboard.press("Enter")
        page.wait_for_selector("h1:has-text('What is to be judged')")
        page.goto(address)

    begin()
    page.context.clear_cookies()
    page.goto(f"{place.address}/login")
    come("bob")
    assert page.locator("#correction").input_value() == ""
    begin()
    page.locator(".logout button").click()
    page.wait_for_selector("input[name=key]")
    assert page.evaluate("sessionStorage.length") == 0
    come("bob")
    assert page.locator("#correction").input_value() == ""


def test_hostile_answers_do_no_harm(browser: Browser, place: Site, name: str) -> None:
    texts = [HOSTILE, "\u202edlrow olleh\u2066" + "W" * 100_000, "שלום עולם", "\n".join(["line"] * 30_000)]
    place.reviews.add(
        [
            NewItem(name, "pair", [{"role": "user", "content": one}], [Answer("a", one), Answer("b", "plain")])
            for one in texts
        ]
    )
    place.reviews.set_rubric(name, Rubric(raters=1, gold_share=0, instructions=HOSTILE))
    page, complaints = enter(browser, place, "ann", viewport={"width": 360, "height": 740})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{place.address}/rate/{name}")
    for _ in texts:
        assert "owned" not in page.title() and page.locator("main script, main img, main style").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "no text widens the page"
        assert page.locator("#submit").is_visible()
        heights = page.locator(".text").evaluate_all("all => all.map(one => one.getBoundingClientRect().height)")
        assert max(heights) < 600
        page.keyboard.press("1")
        press_and_wait(page, "Enter")
    assert len(place.reviews.ratings(name)) == 4
    assert all(one.startswith(place.address) for one in asked)
    assert complaints == []


def test_it_works_without_its_script(browser: Browser, place: Site, name: str) -> None:
    place.reviews.add([*pairs(name, 1), *singles(name, 1)])
    place.reviews.set_rubric(name, Rubric(raters=1, gold_share=0))
    page, _ = enter(browser, place, "ann", java_script_enabled=False)
    with page.expect_navigation():
        page.click(f"text={name}")
    for _ in range(2):
        if page.locator("input[name=choice][type=radio]").count():
            page.check("input[name=choice][value=tie]")
        else:
            for scale in ("correctness", "helpfulness", "style"):
                page.check(f"input[name='left.{scale}'][value='5']")
        with page.expect_navigation():
            page.click("#submit")
    assert page.locator("h1").inner_text() == "Nothing is left to judge"
    assert len(place.reviews.ratings(name)) == 2
    with page.expect_navigation():
        page.click("text=Log out")
    assert page.url.endswith("/login")


def test_everything_is_reached_named_and_seen(browser: Browser, place: Site, name: str) -> None:
    """Each control has a name for screen readers, Tab goes through all from top to bottom, and the focus is visible."""
    pair, single = place.reviews.add([*pairs(name, 1), *singles(name, 1)])
    place.reviews.set_rubric(name, Rubric(raters=1, gold_share=0, scales_on_pairs=True))
    texts, scales, rest = ["DIV"], ["INPUT"] * 3, ["SUMMARY", "BUTTON"]
    wanted = {
        pair: [*texts, *(texts + scales) * 2, "INPUT", *rest, "SUMMARY"],
        single: [*texts * 2, *scales, *rest, "BUTTON", "SUMMARY"],
    }
    for scheme, item in (("light", pair), ("dark", single)):
        page, _ = enter(browser, place, "ann", color_scheme=scheme)
        page.goto(f"{place.address}/rate/{name}/{item}")
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('input:not([type=hidden]), textarea, button, a, summary')]
              .filter(one => !one.labels?.length && !one.textContent.trim()).map(one => one.outerHTML)"""
        )
        assert nameless == []
        assert page.locator("fieldset").count() == page.locator("fieldset > legend").count()
        page.locator("main").focus()
        page.keyboard.press("Shift+Tab")
        assert page.evaluate("document.activeElement.textContent").startswith("Log out"), "the header comes before"
        stops = []
        while (stop := _next_stop(page)) is not None:
            assert stop["outline"] not in ("none", ""), stop
            stops.append(stop["name"])
        assert stops == wanted[item]
        ink, paper = page.evaluate(
            "() => { const of = getComputedStyle(document.body); return [of.color, of.backgroundColor]; }"
        )
        light, dark = sorted((_luminance(ink), _luminance(paper)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 7 and (_luminance(paper) > 0.5) is (scheme == "light")


def test_the_picture_of_the_docs(browser: Browser, place: Site, name: str, tmp_path: Path) -> None:
    asked = "Write the docstring.\n\ndef clamp(x, low, high):\n    return max(low, min(high, x))"
    answers = [
        Answer("v2", "Return x, or the nearer end of the interval from low to high where x lies outside of it."),
        Answer("v1", "This function clamps. It takes three arguments and returns the maximum of the minimum."),
    ]
    first = NewItem(name, "pair", [{"role": "user", "content": asked}], answers)
    place.reviews.add([first, *pairs(name, 11)])
    place.reviews.set_rubric(name, Rubric(raters=1, gold_share=0, random_share=0))
    for one in place.reviews.items(name)[:5]:
        if one.id != first.id:
            place.reviews.rate(one.id, "ann", "v2")
    page, _ = enter(browser, place, "ann", viewport={"width": 960, "height": 700})
    page.goto(f"{place.address}/rate/{name}/{first.id}")
    page.keyboard.press("1")
    taken = tmp_path / "review.png"
    page.screenshot(path=str(taken))
    assert 5_000 < taken.stat().st_size < 150_000
    if KEEP:
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_bytes(taken.read_bytes())


def _next_stop(page: Page) -> dict[str, str] | None:
    """Where Tab leads, and how that is marked; None at the end of the page."""
    page.keyboard.press("Tab")
    found: dict[str, str] = page.evaluate(
        """() => {
          const at = document.activeElement;
          const marked = at.type === "radio" ? at.nextElementSibling : at;
          return {name: at.tagName, outline: getComputedStyle(marked).outlineStyle};
        }"""
    )
    return None if found["name"] == "BODY" else found


def _luminance(color: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
