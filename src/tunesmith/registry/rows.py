"""Versions in SQL: found, listed, added. Each function works inside the transaction it is given."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select

from tunesmith.errors import RegistryError, did_you_mean
from tunesmith.registry.reference import Reference
from tunesmith.registry.version import Version
from tunesmith.store.tables import aliases, versions

NUM_NAMES_SUGGESTED = 200


def find_same(connection: Connection, columns: dict[str, Any]) -> Version | None:
    """The version that the same registration made before: same name, files, recipe and verdict."""
    same = [versions.c[key] == columns[key] for key in ("name", "content_hash", "recipe_hash", "verdict")]
    return _version(connection.execute(select(versions).where(*same)).one_or_none())


def add_version(connection: Connection, columns: dict[str, Any]) -> Version:
    """Insert a version under the next number of its name. The transaction must hold the name's lock."""
    newest = select(func.max(versions.c.number)).where(versions.c.name == columns["name"])
    number = (connection.execute(newest).scalar() or 0) + 1
    connection.execute(insert(versions).values(number=number, **columns))
    return find_version(connection, columns["name"], number)


def list_versions(connection: Connection, name: str | None) -> list[Version]:
    """Versions by name, then number. Raises RegistryError for a name nothing is registered under."""
    found = select(versions).order_by(versions.c.name, versions.c.number)
    if name is not None:
        found = found.where(versions.c.name == name)
    listed = [version for row in connection.execute(found) if (version := _version(row))]
    if name is not None and not listed:
        raise unknown_name(connection, name)
    return listed


def count_versions(connection: Connection) -> int:
    """How many versions there are; none is ever taken away."""
    return connection.execute(select(func.count()).select_from(versions)).scalar_one()


def find_version(connection: Connection, name: str, number: int, chosen_by: str = "number") -> Version:
    """One version. Raises RegistryError naming the versions there are."""
    one = select(versions).where(versions.c.name == name, versions.c.number == number)
    version = _version(connection.execute(one).one_or_none(), chosen_by)
    if version is None:
        newest = connection.execute(select(func.max(versions.c.number)).where(versions.c.name == name)).scalar()
        if newest is None:
            raise unknown_name(connection, name)
        raise RegistryError(
            f"there is no version {number} of '{name}'",
            where=f"{name}@{number}",
            fix=f"the newest is {name}@{newest}; `tunesmith registry ls {name}` lists them",
        )
    return version


def resolve(connection: Connection, reference: Reference) -> Version:
    """The version a reference means now. Raises RegistryError when it means none."""
    name = reference.name
    if reference.number is not None:
        return find_version(connection, name, reference.number)
    if reference.alias is not None:
        points = select(aliases.c.number).where(aliases.c.name == name, aliases.c.alias == reference.alias)
        number = connection.execute(points).scalar()
        if number is None:
            raise unknown_alias(connection, name, reference.alias)
        return find_version(connection, name, number, f"alias {reference.alias}")
    every = select(func.max(versions.c.number)).where(versions.c.name == name)
    passed = connection.execute(every.where(versions.c.verdict == "passed")).scalar()
    number = passed or connection.execute(every).scalar()
    if number is None:
        raise unknown_name(connection, name)
    return find_version(connection, name, number, "latest passed" if passed else "latest, none has passed")


def unknown_name(connection: Connection, name: str) -> RegistryError:
    """The error for a name nothing is registered under, with the nearest name there is."""
    known = _words(connection, select(versions.c.name).distinct())
    fix = did_you_mean(name, known) if known else "nothing is registered yet: `tunesmith run recipe.yaml` does it"
    return RegistryError(f"nothing is registered under '{name}'", where=name, fix=fix)


def unknown_alias(connection: Connection, name: str, alias: str) -> RegistryError:
    """The error for an alias that does not exist, with the nearest one there is."""
    if connection.execute(select(func.max(versions.c.number)).where(versions.c.name == name)).scalar() is None:
        return unknown_name(connection, name)
    known = _words(connection, select(aliases.c.alias).where(aliases.c.name == name))
    fix = did_you_mean(alias, known) if known else f"set one: `tunesmith registry alias {name} {alias} 1 --why TEXT`"
    return RegistryError(f"'{name}' has no alias '{alias}'", where=f"{name}@{alias}", fix=fix)


def _words(connection: Connection, words: Select[Any]) -> list[str]:
    return [str(word) for word in connection.execute(words.limit(NUM_NAMES_SUGGESTED)).scalars()]


def _version(row: Row[Any] | None, chosen_by: str = "number") -> Version | None:
    if row is None:
        return None
    fields = dict(row._mapping)
    return Version(**{**fields, "reasons": tuple(fields["reasons"])}, chosen_by=chosen_by)
