"""Aliases in SQL: moved under a lock, with their history. Each function works inside the transaction it is given."""

from __future__ import annotations

from dataclasses import asdict, replace
from types import EllipsisType

from sqlalchemy import Connection, delete, func, insert, select

from tunesmith.errors import RegistryError
from tunesmith.registry.rows import find_version, unknown_alias, unknown_name
from tunesmith.registry.version import Alias, AliasMove
from tunesmith.store.tables import alias_moves, aliases, versions


class AliasConflict(RegistryError):
    """The alias no longer points where the caller believed: someone else moved it first."""


def move(connection: Connection, wanted: AliasMove, expected: int | EllipsisType | None) -> AliasMove:
    """Point an alias at a version and write it into the history. The transaction must hold the name's lock.

    `wanted.forced` allows a version whose verdict is 'failed'; in the result it says whether that was needed, and
    `from_number` says where the alias pointed. Raises AliasConflict when it does not point at `expected`.
    """
    version = find_version(connection, wanted.name, wanted.to_number)
    here = (aliases.c.name == wanted.name, aliases.c.alias == wanted.alias)
    before = connection.execute(select(aliases.c.number).where(*here)).scalar()
    if expected is not ... and before != expected:
        raise AliasConflict(
            f"'{wanted.alias}' points at {_target(wanted.name, before)}, not at {_target(wanted.name, expected)}",
            where=f"{wanted.name}@{wanted.alias}",
            fix="someone moved it: look at `tunesmith registry history` and decide again",
        )
    failed = version.verdict == "failed"
    if failed and not wanted.forced:
        because = f": {'; '.join(version.reasons)}" if version.reasons else ""
        raise RegistryError(
            f"{version.reference} failed its gate{because}",
            where=f"{wanted.name}@{wanted.alias}",
            fix="choose a version that passed, or say --force and in --why the reason",
        )
    done = replace(wanted, from_number=before, forced=failed)
    _write(connection, done)
    return done


def list_aliases(connection: Connection, name: str | None) -> list[Alias]:
    """Where aliases point, by name and alias. Raises RegistryError for a name nothing is registered under."""
    found = select(aliases).order_by(aliases.c.name, aliases.c.alias)
    if name is None:
        return [Alias(**row._mapping) for row in connection.execute(found)]
    listed = [Alias(**row._mapping) for row in connection.execute(found.where(aliases.c.name == name))]
    if not listed and connection.execute(select(versions.c.number).where(versions.c.name == name)).first() is None:
        raise unknown_name(connection, name)
    return listed


def history(connection: Connection, name: str, alias: str) -> list[AliasMove]:
    """Every move of an alias, oldest first. Raises RegistryError for an alias that was never set."""
    moves = select(*(column for column in alias_moves.c if column.name != "id"))
    found = moves.where(alias_moves.c.name == name, alias_moves.c.alias == alias).order_by(alias_moves.c.id)
    listed = [AliasMove(**row._mapping) for row in connection.execute(found)]
    if not listed:
        raise unknown_alias(connection, name, alias)
    return listed


def count_moves(connection: Connection) -> int:
    """How many moves there were; none is ever taken away."""
    return connection.execute(select(func.count()).select_from(alias_moves)).scalar_one()


def _write(connection: Connection, done: AliasMove) -> None:
    connection.execute(delete(aliases).where(aliases.c.name == done.name, aliases.c.alias == done.alias))
    common = {key: value for key, value in asdict(done).items() if key in aliases.c}
    connection.execute(insert(aliases).values(number=done.to_number, **common))
    connection.execute(insert(alias_moves).values(**asdict(done)))


def _target(name: str, number: int | None) -> str:
    return "nothing" if number is None else f"{name}@{number}"
