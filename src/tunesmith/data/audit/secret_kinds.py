"""Kinds of secrets and personal data: how each looks, and which can be proven."""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tunesmith.data.audit.checksums import has_crc32, is_card, is_iban, is_private_key


@dataclass(frozen=True)
class SecretKind:
    """A pattern. `proof` must hold for a match to count; `certain` kinds are proven by it and can fail a gate.

    `hint` is a piece of text without which the pattern cannot match, so that most rows are passed over quickly.
    """

    pattern: re.Pattern[str]
    proof: Callable[[str], bool] | None = None
    certain: bool = False
    hint: str = ""


def _is_real_address(text: str) -> bool:
    """Not one of the domains reserved for examples (RFC 2606)."""
    domain = text.rpartition("@")[2].lower()
    return not re.search(r"(?:^|\.)(?:example\.(?:com|net|org)|example|test|invalid|localhost)$", domain)


def _is_phone(text: str) -> bool:
    return 8 <= sum(map(str.isdigit, text)) <= 15


KINDS: dict[str, SecretKind] = {
    "private key": SecretKind(
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----[^-]{40,20000}-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----"
        ),
        is_private_key, certain=True, hint="PRIVATE KEY-----",
    ),
    "AWS access key": SecretKind(
        re.compile(r"(?<![A-Za-z0-9/+=])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9/+=])"), certain=True, hint="IA"
    ),
    "GitHub token": SecretKind(
        re.compile(r"(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{36}(?![A-Za-z0-9])"), has_crc32, certain=True, hint="gh"
    ),
    "npm token": SecretKind(
        re.compile(r"(?<![A-Za-z0-9])npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])"), has_crc32, certain=True, hint="npm_"
    ),
    "payment card": SecretKind(
        re.compile(
            r"(?<![\w.,/+=-])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{4,5})(?![\w/=-]|[.,]\d)"
        ),
        is_card, certain=True,
    ),
    "bank account (IBAN)": SecretKind(
        re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])"),
        is_iban, certain=True,
    ),
    "GitHub fine-grained token": SecretKind(re.compile(r"\bgithub_pat_[A-Za-z0-9_]{60,}"), hint="github_pat_"),
    "GitLab token": SecretKind(re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}"), hint="glpat-"),
    "Slack token": SecretKind(re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"), hint="xox"),
    "Google API key": SecretKind(re.compile(r"\bAIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"), hint="AIza"),
    "Stripe live key": SecretKind(re.compile(r"\b[rs]k_live_[A-Za-z0-9]{20,}"), hint="k_live_"),
    "API key (sk-)": SecretKind(
        # A run of these characters is looked through whole from its beginning only, and from each of its hyphens not
        # far: "sk-sk-sk-..." would take time that grows with the square of its length.
        re.compile(
            r"(?:(?<![A-Za-z0-9_-])sk-(?=[A-Za-z0-9_-]*\d)|(?<=-)sk-(?=[A-Za-z0-9_-]{0,200}\d))[A-Za-z0-9_-]{32,}"
        ),
        hint="sk-",
    ),
    "Hugging Face token": SecretKind(re.compile(r"\bhf_[A-Za-z0-9]{34}(?![A-Za-z0-9])"), hint="hf_"),
    "JSON web token": SecretKind(
        re.compile(
            r"(?:(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}|(?<=-)eyJ[A-Za-z0-9_-]{8,200})"
            r"\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}"
        ),
        hint="eyJ",
    ),
    "e-mail address": SecretKind(
        re.compile(r"(?<![\w.+@-])[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w@-])"),
        _is_real_address, hint="@",
    ),
    "phone number": SecretKind(
        re.compile(
            r"(?<![\w.+])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,5}(?:[ .-]?\d{2,5}){1,4}"
            r"|(?:\(\d{3}\) ?|\d{3}[.-])\d{3}[.-]\d{4})(?![\w-]|[.]\d)"
        ),
        _is_phone,
    ),
}  # fmt: skip
"""Name -> kind. Order matters: text that a kind has claimed is not looked at again."""

_TWO_DIGITS = re.compile(r"\d\d")


@dataclass(frozen=True, slots=True)
class Secret:
    """A match: its kind, whether it is proven, what may be shown of it, and where it stands in the text."""

    kind: str
    certain: bool
    redacted: str
    begin: int = 0
    end: int = 0


def find_secrets(text: str) -> Iterator[Secret]:
    """Secrets and personal data in a text, each with its text redacted."""
    has_digits = _TWO_DIGITS.search(text) is not None
    if not has_digits and "@" not in text and len(text) < 24:
        return
    claimed: list[tuple[int, int]] = []
    for name, kind in KINDS.items():
        if kind.hint not in text or not (has_digits or kind.hint):
            continue
        begins = [begin for begin, _ in claimed]
        for match in kind.pattern.finditer(text):
            begin, end = match.span()
            before = bisect_left(begins, end) - 1
            if before >= 0 and claimed[before][1] > begin:
                continue
            if kind.proof is None or kind.proof(match.group()):
                insort(claimed, (begin, end))
                begins.insert(bisect_left(begins, begin), begin)
                yield Secret(name, kind.certain, redacted(match.group()), begin, end)


def redacted(text: str) -> str:
    """The first few characters, never more than a quarter, and the length."""
    return f"{text[: min(4, len(text) // 4)]}… ({len(text)} characters)"
