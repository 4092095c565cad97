"""Who may ask, and how often."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from tunesmith.keys.key import ApiKey, digest_of, new_secret
from tunesmith.serve.access import ANYBODY, Access, Caller, Limiter
from tunesmith.serve.problem import Problem

NOW = datetime(2026, 11, 26, tzinfo=UTC)
Needed = Literal["auto", "required", "off"]


def key(**changes: Any) -> tuple[ApiKey, str]:
    name, secret = new_secret()
    values: dict[str, Any] = {
        "id": name, "digest": digest_of(secret), "tenant": "shop", "scopes": ("infer",), "requests_per_minute": None,
        "tokens_per_minute": None, "created_at": NOW, "created_by": "ann", **changes,
    }  # fmt: skip
    return ApiKey(**values), secret


def test_a_key_lets_in_whom_it_belongs_to() -> None:
    known, secret = key()
    access = Access([known], "required")
    assert access.caller(f"Bearer {secret}", "infer") == Caller("shop", ("infer",), known)
    assert access.caller(f"bearer  {secret} ", "infer").tenant == "shop"


@pytest.mark.parametrize(
    ("header", "status", "message"),
    [
        (None, 401, "an API key is needed"),
        ("", 401, "an API key is needed"),
        ("Basic dXNlcg==", 401, "an API key is needed"),
        ("Bearer ", 401, "not known here"),
        ("Bearer nonsense", 401, "not known here"),
        (f"Bearer {new_secret()[1]}", 401, "not known here"),
        ("Bearer " + "x" * 100_000, 401, "not known here"),
    ],
)
def test_nobody_else_comes_in(header: str | None, status: int, message: str) -> None:
    with pytest.raises(Problem, match=message) as caught:
        Access([key()[0]], "required").caller(header, "infer")
    assert caught.value.status == status


def test_a_revoked_key_is_no_key() -> None:
    known, secret = key(revoked_at=NOW)
    for needed in ("required", "auto"):
        with pytest.raises(Problem, match="was revoked"):
            Access([known], needed).caller(f"Bearer {secret}", "infer")  # type: ignore[arg-type]


def test_a_scope_is_needed() -> None:
    known, secret = key(scopes=("infer", "feedback"))
    with pytest.raises(Problem, match="may infer and feedback, and this needs 'admin'") as caught:
        Access([known], "required").caller(f"Bearer {secret}", "admin")
    assert caught.value.status == 403


@pytest.mark.parametrize(
    ("needed", "has_key", "is_open"),
    [
        ("off", True, True),
        ("off", False, True),
        ("auto", False, True),
        ("auto", True, False),
        ("required", False, False),
    ],
)
def test_an_endpoint_is_open_only_where_it_may_be(needed: Needed, has_key: bool, is_open: bool) -> None:
    access = Access([key()[0]] if has_key else [], needed)
    # The official client always sends something.
    for header in (None, "Bearer none"):
        if is_open:
            assert access.caller(header, "infer") is ANYBODY
        else:
            with pytest.raises(Problem):
                access.caller(header, "infer")


def test_requests_are_limited_by_the_minute() -> None:
    clock = [0.0]
    limiter = Limiter(clock=lambda: clock[0])
    caller = Caller("shop", ("infer",), key(requests_per_minute=2)[0])
    limiter.take_request(caller)
    limiter.take_request(caller)
    with pytest.raises(Problem, match="2 requests a minute") as caught:
        limiter.take_request(caller)
    assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "30"})
    clock[0] = 31.0
    limiter.take_request(caller)
    limiter.take_request(ANYBODY)


def test_tokens_are_counted_after_the_answer() -> None:
    clock = [0.0]
    limiter = Limiter(share=0.5, clock=lambda: clock[0])
    caller = Caller("shop", ("infer",), key(tokens_per_minute=120)[0])
    limiter.take_request(caller)
    limiter.spend_tokens(caller, 90)
    with pytest.raises(Problem, match="120 tokens a minute") as caught:
        limiter.take_request(caller)
    assert caught.value.headers == {"Retry-After": "30"}
    clock[0] = 30.5
    limiter.take_request(caller)
