"""API keys and the audit trail in SQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from tunesmith.errors import StoreError
from tunesmith.keys.key import ApiKey, check_scopes, check_tenant, digest_of, new_secret
from tunesmith.store.clock import utc_now
from tunesmith.store.database import Database
from tunesmith.store.tables import audit, keys

LOCK = "keys"


class Keyring:
    """The keys of one database."""

    def __init__(self, database: Database, now: Callable[[], datetime] = utc_now) -> None:
        self._database, self._now = database, now

    def create(
        self,
        tenant: str,
        scopes: tuple[str, ...],
        by: str,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key and its secret, which is nowhere to be had again. Raises StoreError naming what is wrong."""
        for name, value in (("requests_per_minute", requests_per_minute), ("tokens_per_minute", tokens_per_minute)):
            if value is not None and not 1 <= value < 2**31:
                raise StoreError(f"{value} is not a limit", where=name, fix="give 1 or more, or leave it out for none")
        found, secret = new_secret()
        key = ApiKey(
            id=found,
            digest=digest_of(secret),
            tenant=check_tenant(tenant),
            scopes=check_scopes(scopes),
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            created_at=self._now(),
            created_by=by,
        )
        with self._database.writing(LOCK) as connection:
            connection.execute(insert(keys).values({**asdict(key), "scopes": list(key.scopes)}))
            self._note(connection, by, "keys.create", key.id, {"tenant": key.tenant, "scopes": list(key.scopes)})
        return key, secret

    def revoke(self, key_id: str, by: str) -> ApiKey:
        """End a key, for good; ending it again changes nothing. Raises StoreError for one that there is not."""
        with self._database.writing(LOCK) as connection:
            row = connection.execute(select(keys).where(keys.c.id == key_id)).one_or_none()
            if row is None:
                raise StoreError(f"there is no key {key_id[:40]!a}", where="key", fix="`tunesmith keys ls` lists them")
            if row.revoked_at is None:
                when = self._now()
                connection.execute(update(keys).where(keys.c.id == key_id).values(revoked_at=when))
                self._note(connection, by, "keys.revoke", key_id, {"tenant": row.tenant})
                row = connection.execute(select(keys).where(keys.c.id == key_id)).one()
            return _key(row)

    def every(self) -> list[ApiKey]:
        """Every key there was, oldest first."""
        with self._database.reading() as connection:
            return [_key(row) for row in connection.execute(select(keys).order_by(keys.c.created_at, keys.c.id))]

    def state(self) -> tuple[int, int]:
        """Changes whenever a key is made or revoked."""
        with self._database.reading() as connection:
            made, revoked = connection.execute(select(func.count(keys.c.id), func.count(keys.c.revoked_at))).one()
            return int(made), int(revoked)

    def note(self, who: str, action: str, subject: str, details: dict[str, Any]) -> None:
        """Write an action into the audit trail."""
        with self._database.writing(LOCK) as connection:
            self._note(connection, who, action, subject, details)

    def trail(self, limit: int = 100) -> list[dict[str, Any]]:
        """The last actions, newest first."""
        with self._database.reading() as connection:
            rows = connection.execute(select(audit).order_by(audit.c.id.desc()).limit(limit))
            return [{**row._mapping, "at": row.at.isoformat()} for row in rows]

    def _note(self, connection: Connection, who: str, action: str, subject: str, details: dict[str, Any]) -> None:
        connection.execute(
            insert(audit).values(at=self._now(), who=who, action=action, subject=subject, details=details)
        )


def _key(row: Any) -> ApiKey:
    return ApiKey(**{**row._mapping, "scopes": tuple(row.scopes)})
