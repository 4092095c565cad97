"""Who may ask: API keys, scopes, and limits per minute."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from tunesmith.keys.key import ApiKey, Scope, digest_of, looks_like_key
from tunesmith.serve.problem import Problem

MINUTE = 60.0


@dataclass(frozen=True)
class Caller:
    """Who asks; `key` is None where the endpoint is open."""

    tenant: str
    scopes: tuple[Scope, ...]
    key: ApiKey | None = None


ANYBODY = Caller("local", ("infer", "feedback", "review", "admin"))
"""The caller of an endpoint that is open: on loopback, without keys."""


class Access:
    """Keys as they are now. Only digests are held, and only a text of a key's form is ever hashed."""

    def __init__(self, keys: Iterable[ApiKey], needed: Literal["auto", "required", "off"]) -> None:
        self._by_digest = {key.digest: key for key in keys}
        live = any(key.revoked_at is None for key in self._by_digest.values())
        self._open = needed == "off" or (needed == "auto" and not live)

    def caller(self, authorization: str | None, scope: Scope) -> Caller:
        """The caller of a request that needs a scope, by its `Authorization` header. Raises Problem 401 or 403."""
        if authorization is None or not authorization.lower().startswith("bearer "):
            if self._open:
                return ANYBODY
            raise Problem(401, "an API key is needed: Authorization: Bearer sk-ts-...", "missing_key")
        secret = authorization[7:].strip()
        key = self._by_digest.get(digest_of(secret)) if looks_like_key(secret) else None
        if key is None or key.revoked_at is not None:
            # A client library always sends something: where anybody may ask, whatever it sends is taken for nothing.
            if self._open and not looks_like_key(secret):
                return ANYBODY
            raise Problem(401, "this API key is not known here or was revoked", "invalid_key")
        if scope not in key.scopes:
            raise Problem(403, f"this API key may {' and '.join(key.scopes)}, and this needs '{scope}'", "no_scope")
        return Caller(key.tenant, key.scopes, key)


class Limiter:
    """Requests and tokens of answers per minute and key, each a bucket that fills evenly.

    `share` is this gateway's part of every limit: several gateways know nothing of each other.
    """

    def __init__(self, share: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._share, self._clock = share, clock
        self._levels: dict[tuple[str, str], tuple[float, float]] = {}

    def take_request(self, caller: Caller) -> None:
        """Count a request. Raises Problem 429 with `Retry-After` when the minute's are used up."""
        if (key := caller.key) is None:
            return
        for kind, limit in (("requests", key.requests_per_minute), ("tokens", key.tokens_per_minute)):
            if limit is None:
                continue
            least = 1.0 if kind == "requests" else 0.0
            level = self._level(key.id, kind, limit)
            if level < least:
                seconds = max(1, round((least - level) * MINUTE / (limit * self._share)))
                raise Problem(
                    429,
                    f"the limit of this API key is {limit} {kind} a minute",
                    "rate_limit_exceeded",
                    headers={"Retry-After": str(seconds)},
                )
        if key.requests_per_minute is not None:
            self._spend(key.id, "requests", 1.0)

    def spend_tokens(self, caller: Caller, tokens: int) -> None:
        """Count tokens that were answered; the level may fall below zero, and requests then wait."""
        if caller.key is not None and caller.key.tokens_per_minute is not None:
            self._level(caller.key.id, "tokens", caller.key.tokens_per_minute)
            self._spend(caller.key.id, "tokens", float(tokens))

    def _level(self, key_id: str, kind: str, limit: int) -> float:
        now, most = self._clock(), max(1.0, limit * self._share)
        level, since = self._levels.get((key_id, kind), (most, now))
        level = min(most, level + (now - since) * limit * self._share / MINUTE)
        self._levels[key_id, kind] = level, now
        return level

    def _spend(self, key_id: str, kind: str, amount: float) -> None:
        level, since = self._levels[key_id, kind]
        self._levels[key_id, kind] = level - amount, since
