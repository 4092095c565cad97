"""Checksums against published vectors; what is found is redacted; ordinary text has none."""

from __future__ import annotations

import inspect
import pydoc
import sys
from time import process_time
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.audit import audit
from tunesmith.data.audit.checksums import _BASE62, has_crc32, is_card, is_iban, is_private_key, luhn
from tunesmith.data.audit.scripts import script_of
from tunesmith.data.audit.secret_kinds import find_secrets, redacted
from tunesmith.data.example import Example, Origin
from tunesmith.recipe.data import AuditSection

MODULES = (
    "os", "ssl", "hashlib", "email.message", "random", "decimal", "datetime", "argparse", "smtplib", "uuid",
    "urllib.request",
)  # fmt: skip
RANDOM_PART = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5"


def with_checksum(prefix: str) -> str:
    """A made-up token with a right checksum."""
    value, check = crc32(RANDOM_PART.encode()), ""
    while value:
        value, digit = divmod(value, 62)
        check = _BASE62[digit] + check
    return f"{prefix}{RANDOM_PART}{check.rjust(6, '0')}"


@pytest.mark.parametrize(
    ("digits", "valid"),
    [
        ("79927398713", True),  # the worked example of the Luhn algorithm
        ("79927398710", False),
        ("4111111111111111", True),
        ("4111111111111112", False),
    ],
)
def test_luhn(digits: str, valid: bool) -> None:
    assert luhn(digits) is valid


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        # Test numbers that payment providers publish.
        ("4111111111111111", True), ("4242 4242 4242 4242", True), ("5555555555554444", True),
        ("2223003122003222", True), ("3782 822463 10005", True), ("6011-1111-1111-1117", True),
        ("30569309025904", True), ("3530111333300000", True),
        ("79927398713", False),  # right check digit, no card
        ("1234567812345670", False),  # right check digit, no issuer
        ("4111111111111121", False),
    ],
)  # fmt: skip
def test_cards(text: str, valid: bool) -> None:
    assert is_card(text) is valid


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        # Examples of the SWIFT registry.
        ("GB29 NWBK 6016 1331 9268 19", True), ("DE89370400440532013000", True), ("FR1420041010050500013M02606", True),
        ("NO9386011117947", True), ("MT84MALT011000012345MTLCAST001S", True), ("CH9300762011623852957", True),
        ("GB29 NWBK 6016 1331 9268 18", False), ("XX89370400440532013000", False), ("DE8937040044053201300", False),
    ],
)  # fmt: skip
def test_ibans(text: str, valid: bool) -> None:
    assert is_iban(text) is valid


def test_token_checksum() -> None:
    # A revoked token that is published as an example of the format, in pieces so that scanners pass this file.
    assert has_crc32("ghp_" + "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ" + "0mLq17")
    token = with_checksum("ghp_")
    assert has_crc32(token)
    assert not has_crc32(token[:-1] + ("a" if token[-1] != "a" else "b"))


def private_key() -> str:
    import base64

    body = base64.encodebytes(b"\x30\x82\x01\x0a" + bytes(range(200))).decode()
    return f"-----BEGIN RSA PRIVATE KEY-----\n{body}-----END RSA PRIVATE KEY-----"


def test_private_keys_need_a_body_that_is_one() -> None:
    assert is_private_key(private_key())
    assert not is_private_key("-----BEGIN PRIVATE KEY-----\nput your key here\n-----END PRIVATE KEY-----")


@pytest.mark.parametrize(
    ("text", "kind", "certain"),
    [
        ("pay with 4111 1111 1111 1111 please", "payment card", True),
        ("card:4242424242424242.", "payment card", True),
        ("to GB29 NWBK 6016 1331 9268 19, thanks", "bank account (IBAN)", True),
        ("id AKIAIOSFODNN7EXAMPLE end", "AWS access key", True),
        (f"export T={with_checksum('ghp_')}", "GitHub token", True),
        (private_key(), "private key", True),
        ("key sk-proj-abcdefghijklmnopqrstuvwxyz0123456789", "API key (sk-)", False),
        ("write to ada@lovelace.org", "e-mail address", False),
        ("call +44 20 7946 0958 now", "phone number", False),
        ("call (212) 555-0187 now", "phone number", False),
    ],
)
def test_each_kind_is_found_and_redacted(text: str, kind: str, certain: bool) -> None:
    (secret,) = find_secrets(text)
    assert (secret.kind, secret.certain) == (kind, certain)
    shown = secret.redacted.split("…")[0]
    assert len(shown) <= 4


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112", "0.4111111111111111", "build 20260101123456", "ada@example.com", "x@localhost",
        "3.14159265358979",
        "ghp_" + "a" * 36, "192.168.0.1", "2026-11-22 13:20:52", "a@b", "1234567890123456789012", "version 1.2.3.4",
        "pi = 3.141592653589793238462643383279", "ISBN 978-3-16-148410-0", "@decorator",
        "uuid 123e4567-e89b-12d3-a456-426614174000",
    ],
)  # fmt: skip
def test_look_alikes_are_not_found(text: str) -> None:
    assert list(find_secrets(text)) == []


def test_docstrings_of_the_standard_library_hold_no_secret() -> None:
    texts = []
    for name in MODULES:
        module = pydoc.locate(name)
        assert module is not None
        texts += [inspect.getdoc(getattr(module, attribute)) or "" for attribute in dir(module)]
        texts.append(inspect.getsource(sys.modules[name]))
    assert len(texts) > 500
    certain = [secret for text in texts for secret in find_secrets(text) if secret.certain]
    assert certain == []


def test_only_proven_secrets_fail_and_the_report_shows_none_whole() -> None:
    def report_of(*texts: str):
        rows = [
            Example([{"role": "user", "content": t}, {"role": "assistant", "content": "ok"}], Origin("r", i))
            for i, t in enumerate(texts)
        ]
        return audit({"train": rows}, AuditSection())[0]

    maybe = report_of("write to ada@lovelace.org", "call (212) 555-0187")
    assert maybe.passed
    (finding,) = [f for f in maybe.findings if f.code == "secrets"]
    assert (finding.count, finding.can_fail) == (2, False)
    sure = report_of("pay with 4111 1111 1111 1111", "nothing here", "mail ada@lovelace.org")
    assert not sure.passed
    assert [(f.count, f.can_fail) for f in sure.findings if f.code == "secrets"] == [(1, True), (1, False)]
    printed = sure.model_dump_json()
    assert "1111 1111" not in printed and "lovelace" not in printed


def test_secrets_in_system_messages_and_tool_calls_are_found() -> None:
    hidden = Example(
        [
            {"role": "system", "content": "card 4111111111111111"},
            {"role": "user", "content": "pay"},
            {"role": "assistant", "content": "", "tool_calls": [{"arguments": "card 4242424242424242"}]},
        ],
        Origin("r", 1),
    )
    (finding,) = [f for f in audit({"train": [hidden]}, AuditSection())[0].findings if f.code == "secrets"]
    assert finding.details == (("payment card", 2),)


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=300))
def test_any_text_is_searched_and_never_shown_whole(text: str) -> None:
    for secret in find_secrets(text):
        assert len(secret.redacted.split("…")[0]) <= 4
    assert len(redacted(text).split("…")[0]) <= max(4, len(text) // 4)


@pytest.mark.parametrize(
    ("letter", "script"),
    [("a", "Latin"), ("é", "Latin"), ("я", "Cyrillic"), ("ω", "Greek"), ("中", "Japanese and Chinese"),
     ("カ", "Japanese and Chinese"),
     ("한", "Hangul"), ("ش", "Arabic"), ("1", None), ("!", None), ("😀", None), ("𝒳", None)],
)  # fmt: skip
def test_scripts(letter: str, script: str | None) -> None:
    assert script_of(letter) == script


def test_a_long_row_of_many_matches_takes_no_quadratic_time() -> None:
    text = "ada@lovelace.org +44 20 7946 0958 4111111111111111 " * 10_000
    begin = process_time()
    assert len(list(find_secrets(text))) == 30_000
    assert process_time() - begin < 10, "0.3 s here; comparing each match with all others takes minutes"


@pytest.mark.parametrize(
    "unit",
    ["sk-", "-sk-", "sk-_", "eyJ-", "eyJ_-", "eyJaaaaaaaa-", "eyJaaaaaaaa.", "eyJaaaaaaaa.eyJ-", "xoxb-", "glpat-",
     "a@a-", "a@a.", "a+", "12-", "1234 ", "+1(1)", "(123) ", "AA11 AAAA ", "-----BEGIN PRIVATE KEY-----"],
)  # fmt: skip
def test_no_text_is_made_to_take_long(unit: str) -> None:
    text = (unit * 65_536)[:65_536]
    begin = process_time()
    list(find_secrets(text))
    list(find_secrets(f"{text[:-2]}.7"))
    assert process_time() - begin < 2, "0.2 s here; beginning anew at each hyphen takes 2.7 to 22 s"


def test_tokens_behind_a_hyphen_are_found() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4"
    text = f"key-sk-{RANDOM_PART}1234 or token-{token} or sk-{'x' * 900}1"
    assert [(one.kind, text[one.begin : one.end][:4]) for one in find_secrets(text)] == [
        ("API key (sk-)", "sk-A"), ("API key (sk-)", "sk-x"), ("JSON web token", "eyJh"),
    ]  # fmt: skip
