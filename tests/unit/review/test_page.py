"""The page without its script: plain forms, who may send them, what they may hold, and what is never shown."""

from __future__ import annotations

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.unit.review.conftest import Clock, pair, single
from tunesmith.errors import StoreError
from tunesmith.keys.keyring import Keyring
from tunesmith.review.item import Answer, NewItem
from tunesmith.review.page.app import build_review_app
from tunesmith.review.page.attempts import ALTOGETHER, BY_ADDRESS
from tunesmith.review.page.doors import local
from tunesmith.review.page.secret import signing_secret
from tunesmith.review.page.session import COOKIE, LIFE_SECONDS, LONGEST_SECONDS, Session, read_cookie
from tunesmith.review.reviews import Reviews
from tunesmith.review.rubric import Rubric
from tunesmith.store.database import Database

HOSTILE = '</div><script>alert(1)</script><img src=x onerror="alert(2)">\u202e{{ 7*7 }}'

SECRET = b"s" * 32


class Time:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def app(database: Database, time: Time) -> FastAPI:
    return build_review_app(database, SECRET, clock=time)


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    return TestClient(app)


def key(database: Database, tenant: str = "ann", *scopes: str) -> str:
    return Keyring(database).create(tenant, scopes or ("review",), "root")[1]


def log_in(client: TestClient, secret: str) -> None:
    assert client.post("/login", data={"key": secret}, follow_redirects=False).status_code == 303


def token(html: str) -> str:
    found = re.search(r'name="token" value="([0-9a-f]{64})"', html)
    assert found
    return found[1]


def test_a_whole_round_without_the_script(client: TestClient, database: Database, reviews: Reviews, time: Time) -> None:
    ids = reviews.add([pair(1), pair(2), single(3)])
    reviews.set_rubric("summaries", Rubric(instructions="Be strict.", raters=1, random_share=0))
    log_in(client, key(database))
    assert 'href="/rate/summaries"' in client.get("/").text
    for number in range(3):
        page = client.get("/rate/summaries")
        assert f"{number} of 3 rated" in page.text and "Be strict." in page.text
        item = str(page.url).rpartition("/")[2]
        time.now += 7
        said = {"token": token(page.text), "shown": re.findall(r'name="shown" value="(\d+)"', page.text)[0]}
        if item == ids[2]:
            said |= {"left.correctness": "5", "left.helpfulness": "4", "left.style": "3", "correction": "Better."}
        else:
            said |= {"choice": "left"}
        assert client.post(str(page.url), data=said).status_code == 200
    assert "Nothing is left to judge" in client.get("/rate/summaries").text
    by_item = {one.item: one for one in reviews.ratings("summaries")}
    for one in ids[:2]:
        assert by_item[one].choice == reviews.item(one).shown_to("ann")[0].source
    assert by_item[ids[2]].scales == {"new": {"correctness": 5, "helpfulness": 4, "style": 3}}
    assert by_item[ids[2]].correction == "Better."
    assert {one.seconds for one in by_item.values()} == {7.0}


def test_an_item_can_be_gone_back_to_and_rated_anew(client: TestClient, database: Database, reviews: Reviews) -> None:
    (item,) = reviews.add([pair(1)])
    log_in(client, key(database))
    address = f"/rate/summaries/{item}"
    first = client.get(address)
    done = client.post(address, data={"token": token(first.text), "choice": "right", "correction": "<b>mine</b>"})
    assert f'id="undo" href="{address}"' in done.text
    again = client.get(address).text
    assert "You have rated this one" in again and "&lt;b&gt;mine&lt;/b&gt;</textarea>" in again
    assert re.search(r'value="right" required checked', again)
    client.post(address, data={"token": token(again), "choice": "tie"})
    assert [one.choice for one in reviews.ratings("summaries")] == ["tie"]


def test_scales_may_be_asked_of_pairs(client: TestClient, database: Database, reviews: Reviews) -> None:
    (item,) = reviews.add([pair(1)])
    reviews.set_rubric("summaries", Rubric(scales_on_pairs=True))
    log_in(client, key(database))
    page = client.get(f"/rate/summaries/{item}").text
    client.post(f"/rate/summaries/{item}", data={"token": token(page), "choice": "left", "right.style": "2"})
    left, right = (one.source for one in reviews.item(item).shown_to("ann"))
    (said,) = reviews.ratings("summaries")
    assert (said.choice, said.scales) == (left, {right: {"style": 2}})


@pytest.mark.parametrize(
    ("kind", "said", "message"),
    [
        ("pair", {}, "Nothing is chosen."),
        ("pair", {"choice": "new"}, "is nothing to choose"),
        ("answer", {"choice": "left"}, "is nothing to choose"),
        ("pair", {"choice": "left", "left.style": "9"}, "cannot be 9"),
        ("answer", {"left.style": "3"}, "Still without a number: Is it right? Does it help?"),
        ("answer", {}, "Still without a number"),
        ("answer", {"correction": "  new answer 1 "}, "Nothing is said."),
    ],
)
def test_what_says_nothing_is_asked_again(
    client: TestClient, database: Database, reviews: Reviews, kind: str, said: dict[str, str], message: str
) -> None:
    (item,) = reviews.add([pair(1) if kind == "pair" else single(1)])
    log_in(client, key(database))
    page = client.get(f"/rate/summaries/{item}").text
    answer = client.post(f"/rate/summaries/{item}", data={"token": token(page), **said})
    assert answer.status_code == 422 and message in answer.text and 'role="alert"' in answer.text
    assert reviews.ratings("summaries") == []


def test_raters_learn_neither_sources_nor_what_is_known(
    client: TestClient, database: Database, reviews: Reviews
) -> None:
    new = NewItem(
        "summaries", "pair", [{"role": "user", "content": "q"}],
        [Answer("SOURCE-ONE", "first words"), Answer("SOURCE-TWO", "second words")],
    )  # fmt: skip
    ids = reviews.add([new, pair(1, gold="new")])
    log_in(client, key(database))
    for item in ids:
        page = client.get(f"/rate/summaries/{item}").text
        assert "SOURCE" not in page and "gold" not in page.lower() and "planted" not in page


def test_hostile_texts_are_only_text(client: TestClient, database: Database, reviews: Reviews) -> None:
    new = NewItem(
        "summaries", "pair", [{"role": HOSTILE, "content": HOSTILE}], [Answer("a", HOSTILE), Answer("b", "x" * 200_000)]
    )
    (item,) = reviews.add([new])
    reviews.set_rubric("summaries", Rubric(instructions=HOSTILE))
    log_in(client, key(database))
    answer = client.get(f"/rate/summaries/{item}")
    assert answer.text.count("<script") == 1 and "<img" not in answer.text and "{{ 7*7 }}" in answer.text
    assert "150,000 more characters are not shown" in answer.text and len(answer.content) < 100_000
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert re.search(r"\son\w+=|style=|javascript:", re.sub(r"&[a-z#0-9]+;[^<]*", "", answer.text)) is None


def test_only_a_live_key_with_the_scope_opens_the_page(client: TestClient, database: Database) -> None:
    keyring = Keyring(database)
    revoked, secret = keyring.create("bob", ("review",), "root")
    for wrong in ("", "sk-ts-", key(database, "shop", "infer", "admin"), secret[:-1] + "!"):
        answer = client.post("/login", data={"key": wrong})
        assert answer.status_code == 401 and COOKIE not in client.cookies
    log_in(client, secret)
    assert client.get("/", follow_redirects=False).status_code == 200
    keyring.revoke(revoked.id, "root")
    assert client.get("/", follow_redirects=False).headers["location"] == "/login"
    assert secret not in "".join(client.cookies.values())


def test_the_cookie_is_signed_ends_and_is_closed_to_scripts(client: TestClient, database: Database, time: Time) -> None:
    answer = client.post("/login", data={"key": key(database)}, follow_redirects=False)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/" in cookie and "Secure" not in cookie
    keys, value = Keyring(database).every(), client.cookies[COOKIE]
    assert read_cookie(value, keys, SECRET, time) is not None
    parts = value.split(".")
    later = [*parts[:3], str(int(parts[3]) + 1), parts[4]]
    fresher = [*parts[:2], str(int(parts[2]) + 1), *parts[3:]]
    for forged in (
        ".".join(later),
        ".".join(fresher),
        value[:-1],
        value + "0",
        ".".join(["x", *parts[1:]]),
        "a.b.c",
        "....",
        "é.é.1.1.é",
    ):
        assert read_cookie(forged, keys, SECRET, time) is None
    time.now += LIFE_SECONDS + 1
    assert read_cookie(value, keys, SECRET, time) is None
    secure = TestClient(client.app, base_url="https://testserver")
    assert "Secure" in secure.post("/login", data={"key": key(database)}, follow_redirects=False).headers["set-cookie"]


def test_who_reads_the_database_is_nobody_on_the_page(client: TestClient, database: Database, time: Time) -> None:
    """Everything in the table of keys does not make a cookie, nor does another home's secret."""
    log_in(client, key(database))
    keys = Keyring(database).every()
    forged = Session("ann", "0" * 32, keys[0], int(time.now), keys[0].digest.encode())
    for cookie in (forged.cookie(time.now), replace(forged, secret=b"x" * 32).cookie(time.now)):
        client.cookies = {COOKIE: cookie}
        assert client.get("/", follow_redirects=False).headers["location"] == "/login"
    client.cookies = {COOKIE: replace(forged, secret=SECRET).cookie(time.now)}
    assert client.get("/", follow_redirects=False).status_code == 200


def test_a_session_ends_a_week_after_the_login_whatever_is_shown(
    client: TestClient, database: Database, time: Time
) -> None:
    log_in(client, key(database))
    end = time.now + LONGEST_SECONDS
    while time.now + LIFE_SECONDS / 2 < end:
        answer = client.get("/", follow_redirects=False)
        assert answer.status_code == 200
        value = answer.headers["set-cookie"].partition("=")[2].partition(";")[0]
        time.now += LIFE_SECONDS / 2
    assert read_cookie(value, Keyring(database).every(), SECRET, time) is not None
    time.now = end
    assert read_cookie(value, Keyring(database).every(), SECRET, time) is None
    assert client.get("/", follow_redirects=False).headers["location"] == "/login"


def test_the_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with ThreadPoolExecutor(8) as threads:
        (found,) = set(threads.map(lambda _: signing_secret(home), range(32)))
    assert len(found) == 32 and [one.name for one in home.iterdir()] == ["review.secret"]
    assert stat.S_IMODE((home / "review.secret").stat().st_mode) == 0o600
    assert signing_secret(home) == found != signing_secret(tmp_path / "other")
    (home / "review.secret").write_bytes(b"short")
    with pytest.raises(StoreError, match=r"review\.secret: this is not the secret"):
        signing_secret(home)


def test_a_form_must_come_from_a_page_of_the_session(
    client: TestClient, app: FastAPI, database: Database, reviews: Reviews
) -> None:
    (item,) = reviews.add([pair(1)])
    log_in(client, key(database))
    other = TestClient(app)
    log_in(other, key(database, "eve"))
    stolen = token(other.get(f"/rate/summaries/{item}").text)
    own = token(client.get(f"/rate/summaries/{item}").text)
    for said in ({}, {"token": stolen}, {"token": "é"}):
        assert client.post(f"/rate/summaries/{item}", data={"choice": "tie", **said}).status_code == 403
    for site in ("cross-site", "same-site"):
        said = {"choice": "tie", "token": own}
        answer = client.post(f"/rate/summaries/{item}", data=said, headers={"sec-fetch-site": site})
        assert answer.status_code == 403
    answer = client.post("/login", data={"key": key(database)}, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403
    assert reviews.ratings("summaries") == []


def test_failures_to_log_in_are_bounded_and_a_key_always_opens(
    client: TestClient, database: Database, time: Time
) -> None:
    good = key(database)
    answers = [client.post("/login", data={"key": "sk-ts-x"}) for _ in range(BY_ADDRESS + 1)]
    assert [answer.status_code for answer in answers] == [401] * BY_ADDRESS + [429]
    assert answers[-1].headers["retry-after"] == "60"
    log_in(client, good)
    for number in range(2 * ALTOGETHER):
        client.app.state.desk.attempts.failed(f"10.0.0.{number}")  # type: ignore[attr-defined]
    assert client.post("/login", data={"key": "sk-ts-x"}).status_code == 429
    log_in(client, good)
    time.now += 61
    assert client.post("/login", data={"key": "sk-ts-x"}).status_code == 401


@pytest.mark.parametrize(
    ("to", "kept"),
    [
        ("/rate/summaries", "/rate/summaries"), ("//evil.example", ""), ("https://evil.example", ""), ("/\\evil", ""),
        ("evil", ""), ("/a\r\nx: y", ""), ("/" + "a" * 600, ""), ("", ""),
    ],
)  # fmt: skip
def test_a_login_leads_only_to_pages_of_ours(client: TestClient, database: Database, to: str, kept: str) -> None:
    assert local(to) == kept
    answer = client.post("/login", data={"key": key(database), "to": to}, follow_redirects=False)
    assert answer.headers["location"] == (kept or "/")


def test_it_works_under_another_path(app: FastAPI, database: Database, reviews: Reviews) -> None:
    (item,) = reviews.add([pair(1)])
    outer = FastAPI()
    outer.mount("/review", app)
    client = TestClient(outer)
    assert client.get(f"/review/rate/summaries/{item}", follow_redirects=False).headers["location"] == (
        f"/review/login?to=/rate/summaries/{item}"
    )
    answer = client.post("/review/login", data={"key": key(database), "to": f"/rate/summaries/{item}"})
    assert str(answer.url).endswith(f"/review/rate/summaries/{item}")
    assert "Path=/review" in answer.history[0].headers["set-cookie"]
    assert 'src="/review/static/review.js"' in answer.text and 'action="/review/rate/summaries/' in answer.text
    done = client.post(str(answer.url), data={"token": token(answer.text), "choice": "tie"})
    assert "Nothing is left to judge" in done.text
    out = client.post("/review/logout", data={"token": token(done.text)})
    assert str(out.url).endswith("/review/login") and COOKIE not in client.cookies


@pytest.mark.parametrize(
    ("path", "status"),
    [("/rate/a%00b", 404), ("/rate/" + "a" * 300, 404), ("/rate/summaries/a%00b", 404),
     ("/rate/summaries/nothing", 404), ("/rate/other/{item}", 404), ("/static/../app.py", 404), ("/docs", 404),
     ("/static/app.py", 404), ("/openapi.json", 404)],
)  # fmt: skip
def test_what_is_not_there(client: TestClient, database: Database, reviews: Reviews, path: str, status: int) -> None:
    (item,) = reviews.add([pair(1)])
    log_in(client, key(database))
    answer = client.get(path.format(item=item))
    assert answer.status_code == status and "default-src" in answer.headers["content-security-policy"]


def test_a_form_is_bounded(client: TestClient, database: Database, reviews: Reviews) -> None:
    (item,) = reviews.add([pair(1)])
    log_in(client, key(database))
    assert client.post(f"/rate/summaries/{item}", content=b"a" * 2_000_001).status_code == 413
    assert client.post(f"/rate/summaries/{item}", content=b"&".join([b"a=1"] * 200)).status_code == 400
    assert client.post(f"/rate/summaries/{item}", content="é".encode()).status_code == 400


def test_a_database_that_is_gone_is_said(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/r.db")
    reviews = Reviews(database, Clock())
    (item,) = reviews.add([pair(1)])
    client = TestClient(build_review_app(database, SECRET))
    log_in(client, key(database))
    page = client.get(f"/rate/summaries/{item}").text
    for file in tmp_path.iterdir():
        file.unlink()
    (tmp_path / "r.db").write_text("no database")
    answer = client.post(f"/rate/summaries/{item}", data={"token": token(page), "choice": "tie"})
    assert answer.status_code == 503 and "not saved yet" in answer.text
