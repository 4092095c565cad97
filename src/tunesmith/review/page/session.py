"""Who is at the page: a cookie made from an API key, good only while the key is.

The cookie is signed with a secret that all gateways of a home folder share and no database holds. Nothing is stored for
it, and revoking the key ends it at once. It does not hold the key.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tunesmith.keys.key import ApiKey, digest_of, looks_like_key

COOKIE = "tunesmith_review"
LIFE_SECONDS = 12 * 3600
"""How long it lasts after the last page that was shown."""

LONGEST_SECONDS = 7 * 24 * 3600
"""How long it lasts after the login, whatever is shown."""

SCOPE = "review"


@dataclass(frozen=True)
class Session:
    """A rater, known by the tenant of the key; `token` is what a form must bring along.

    `begun` is when the rater logged in, in seconds since 1970.
    """

    rater: str
    nonce: str
    key: ApiKey
    begun: int
    secret: bytes = field(repr=False)

    @property
    def token(self) -> str:
        """Against forms of other sites."""
        return _sign(self.secret, self.key, "form", self.nonce)

    def ends(self, now: float) -> int:
        """When it ends if nothing more is shown after `now`."""
        return min(int(now) + LIFE_SECONDS, self.begun + LONGEST_SECONDS)

    def cookie(self, now: float) -> str:
        """What the browser keeps."""
        said = (self.nonce, str(self.begun), str(self.ends(now)))
        return ".".join((self.key.id, *said, _sign(self.secret, self.key, *said)))


def log_in(given: str, keys: Iterable[ApiKey], secret: bytes, now: float) -> Session | None:
    """A session for a key that may review; None for any other text."""
    if not looks_like_key(given):
        return None
    digest = digest_of(given)
    found = next((key for key in keys if hmac.compare_digest(key.digest, digest)), None)
    return _session(found, secrets.token_hex(16), int(now), secret) if found is not None else None


def read_cookie(
    cookie: str | None, keys: Iterable[ApiKey], secret: bytes, clock: Callable[[], float] = time.time
) -> Session | None:
    """The session of a cookie; None where it is not ours, has ended, or its key was revoked."""
    parts = (cookie or "").split(".")
    if len(parts) != 5 or not all(one.isascii() and one.isdigit() and len(one) <= 12 for one in parts[2:4]):
        return None
    key_id, nonce, begun, ends, signature = parts
    found = next((key for key in keys if key.id == key_id), None)
    if found is None or not same(signature, _sign(secret, found, nonce, begun, ends)):
        return None
    return _session(found, nonce, int(begun), secret) if clock() < int(ends) else None


def same(given: str, wanted: str) -> bool:
    """Whether two texts are the same, in a time that tells nothing."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _session(key: ApiKey, nonce: str, begun: int, secret: bytes) -> Session | None:
    may = key.revoked_at is None and SCOPE in key.scopes
    return Session(key.tenant, nonce, key, begun, secret) if may else None


def _sign(secret: bytes, key: ApiKey, *what: str) -> str:
    return hmac.new(secret, "\x1f".join(("review", key.id, key.digest, *what)).encode(), hashlib.sha256).hexdigest()
