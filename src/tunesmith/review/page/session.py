"""Who is at the page: a cookie made from an API key, good only while the key is.

The cookie is signed with the hash that is kept of the key, so every gateway of a database understands it, nothing is
stored for it, and revoking the key ends it at once. It does not hold the key.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tunesmith.keys.key import ApiKey, digest_of, looks_like_key

COOKIE = "tunesmith_review"
LIFE_SECONDS = 12 * 3600
"""How long it lasts after the last page that was shown."""

SCOPE = "review"


@dataclass(frozen=True)
class Session:
    """A rater, known by the tenant of the key; `token` is what a form must bring along."""

    rater: str
    nonce: str
    key: ApiKey

    @property
    def token(self) -> str:
        """Against forms of other sites."""
        return _sign(self.key, "form", self.nonce)

    def cookie(self, clock: Callable[[], float] = time.time) -> str:
        """What the browser keeps."""
        ends = str(int(clock()) + LIFE_SECONDS)
        return ".".join((self.key.id, self.nonce, ends, _sign(self.key, self.nonce, ends)))


def log_in(secret: str, keys: Iterable[ApiKey]) -> Session | None:
    """A session for a key that may review; None for any other text."""
    if not looks_like_key(secret):
        return None
    digest = digest_of(secret)
    found = next((key for key in keys if hmac.compare_digest(key.digest, digest)), None)
    return _session(found, secrets.token_hex(16)) if found is not None else None


def read_cookie(cookie: str | None, keys: Iterable[ApiKey], clock: Callable[[], float] = time.time) -> Session | None:
    """The session of a cookie; None where it is not ours, has ended, or its key was revoked."""
    parts = (cookie or "").split(".")
    if len(parts) != 4 or not parts[2].isascii() or not parts[2].isdigit() or len(parts[2]) > 12:
        return None
    key_id, nonce, ends, signature = parts
    found = next((key for key in keys if key.id == key_id), None)
    if found is None or not same(signature, _sign(found, nonce, ends)):
        return None
    return _session(found, nonce) if clock() < int(ends) else None


def same(given: str, wanted: str) -> bool:
    """Whether two texts are the same, in a time that tells nothing."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _session(key: ApiKey, nonce: str) -> Session | None:
    return Session(key.tenant, nonce, key) if key.revoked_at is None and SCOPE in key.scopes else None


def _sign(key: ApiKey, *what: str) -> str:
    return hmac.new(key.digest.encode(), "\x1f".join(("review", *what)).encode(), hashlib.sha256).hexdigest()
