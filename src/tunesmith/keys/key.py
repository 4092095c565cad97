"""What an API key is: a secret shown once, kept as a hash, with a tenant, scopes and limits."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from tunesmith.errors import StoreError, did_you_mean

Scope = Literal["infer", "feedback", "review", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

PREFIX = "sk-ts-"
_SECRET = re.compile(r"sk-ts-([a-z0-9]{8})-([A-Za-z0-9_-]{43})")
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")


@dataclass(frozen=True)
class ApiKey:
    """A key as it is kept; the secret itself is kept nowhere.

    `id` is the part that may be shown. `digest` is the SHA-256 of the secret, which has 256 random bits: nothing that
    could be guessed, so no slow hash is needed. Limits are per minute, None for none; `tokens` are those of answers.
    """

    id: str
    digest: str
    tenant: str
    scopes: tuple[Scope, ...]
    requests_per_minute: int | None
    tokens_per_minute: int | None
    created_at: datetime
    created_by: str
    revoked_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the digest."""
        values = {key: value for key, value in asdict(self).items() if key != "digest"}
        moments = {key: value.isoformat() for key, value in values.items() if isinstance(value, datetime)}
        return {**values, "scopes": list(self.scopes), **moments}


def new_secret() -> tuple[str, str]:
    """A key's id, and its secret: `sk-ts-ID-...`."""
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    name = "".join(secrets.choice(alphabet) for _ in range(8))
    return name, f"{PREFIX}{name}-{secrets.token_urlsafe(32)}"


def digest_of(secret: str) -> str:
    """What is kept of a secret, and what a request's is compared with."""
    return hashlib.sha256(secret.encode()).hexdigest()


def looks_like_key(text: str) -> bool:
    """Whether it has the form of a secret; nothing else is ever looked up."""
    return _SECRET.fullmatch(text) is not None


def check_tenant(tenant: str) -> str:
    """A tenant's name if it is one. Raises StoreError otherwise."""
    if _TENANT.fullmatch(tenant):
        return tenant
    raise StoreError(
        f"{tenant[:80]!a} is not a name for a tenant",
        where="tenant",
        fix="use up to 63 letters, digits, dots, dashes, underscores and @, beginning with a letter or digit",
    )


def check_scopes(scopes: tuple[str, ...]) -> tuple[Scope, ...]:
    """Scopes in their usual order, each once. Raises StoreError for one that there is not."""
    for scope in scopes:
        if scope not in SCOPES:
            raise StoreError(f"there is no scope {scope[:40]!a}", where="scopes", fix=did_you_mean(scope, SCOPES))
    if not scopes:
        raise StoreError("a key needs a scope", where="scopes", fix=f"choose from {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in scopes)
