"""The registry: immutable model versions with their evidence, and aliases that move between them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import EllipsisType

from tunesmith.registry import aliases as alias_rows
from tunesmith.registry import rows
from tunesmith.registry.check import check_alias, check_name, check_new, check_number, check_text
from tunesmith.registry.reference import parse_reference
from tunesmith.registry.version import Alias, AliasMove, NewVersion, Version
from tunesmith.store.clock import utc_now
from tunesmith.store.content import Manifest
from tunesmith.store.database import Database
from tunesmith.store.files import FileStore, NotStored
from tunesmith.store.home import Home


class Registry:
    """Versions and aliases of one home. Open one with `Registry.open`; processes on many machines may share it."""

    def __init__(self, database: Database, files: FileStore, cache: Path, now: Callable[[], datetime]) -> None:
        self._database = database
        self._files = files
        self._cache = cache
        self._now = now

    @classmethod
    def open(cls, home: Home, *, create: bool = True, now: Callable[[], datetime] = utc_now) -> Registry:
        """Open the registry of a home and bring its tables up to date.

        With `create=False` a SQLite registry that is not there is refused with `store.database.NoDatabase`. Raises
        StoreError when the database or the place of the artefacts cannot be used.
        """
        files = FileStore.open(home.artifacts)
        database = Database.open(home.database_url, create=create)
        return cls(database, files, home.folder / "cache" / "versions", now)

    def register(self, new: NewVersion, artefact_folder: Path) -> Version:
        """Store the files of a folder and register them as the next version of `new.name`.

        Files first, then one transaction: a crash at any point leaves no version without its files, and trying again is
        safe. The same files with the same recipe and verdict are registered once; the version they have is returned.
        Raises RegistryError naming the field that is wrong, StoreError when the files cannot be stored.
        """
        columns = check_new(new)
        content_hash = self._files.put(artefact_folder).content_hash
        columns |= {"content_hash": content_hash, "artefact_uri": self._files.uri(content_hash)}
        with self._database.writing(_lock(new.name)) as connection:
            same = rows.find_same(connection, columns)
            return same or rows.add_version(connection, {**columns, "created_at": self._now()})

    def versions(self, name: str | None = None) -> list[Version]:
        """Every version, or those of one name, by name and number. Raises RegistryError for an unknown name."""
        if name is not None:
            check_name(name)
        with self._database.reading() as connection:
            return rows.list_versions(connection, name)

    def resolve(self, reference: str) -> Version:
        """The version that `name@3`, `name@champion` or `name` means now; its `chosen_by` says how it was chosen.

        `name` alone means the newest version that passed its gate, or the newest of all when none has passed.
        Raises RegistryError, with the nearest name, when there is none.
        """
        parsed = parse_reference(reference)
        with self._database.reading() as connection:
            return rows.resolve(connection, parsed)

    def move_alias(
        self,
        name: str,
        alias: str,
        version: int,
        who: str,
        why: str,
        expected: int | EllipsisType | None = ...,
        force: bool = False,
    ) -> AliasMove:
        """Point an alias at a version, in one step, and keep who did it, when and why.

        With `expected` (a number, or None for an alias that must not exist yet) it moves only if it points there now;
        else AliasConflict: of several who expect the same, one wins. A version that failed its gate is refused with
        RegistryError unless `force` is set. A move to where it points already is written down too.
        """
        wanted = AliasMove(
            name=check_name(name),
            alias=check_alias(alias),
            from_number=None,
            to_number=check_number(version),
            moved_at=self._now(),
            moved_by=check_text(who, "who"),
            why=check_text(why, "why", many_lines=True),
            forced=force,
        )
        if expected is not ... and expected is not None:
            check_number(expected)
        with self._database.writing(_lock(name)) as connection:
            return alias_rows.move(connection, wanted, expected)

    def aliases(self, name: str | None = None) -> list[Alias]:
        """Where every alias, or those of one name, point now. Raises RegistryError for an unknown name."""
        if name is not None:
            check_name(name)
        with self._database.reading() as connection:
            return alias_rows.list_aliases(connection, name)

    def history(self, name: str, alias: str) -> list[AliasMove]:
        """Every move of an alias, oldest first. Raises RegistryError for an alias that was never set."""
        check_name(name)
        check_alias(alias)
        with self._database.reading() as connection:
            return alias_rows.history(connection, name, alias)

    def state(self) -> tuple[int, int]:
        """Changes whenever a version is registered or an alias is moved; cheap to ask often."""
        with self._database.reading() as connection:
            return rows.count_versions(connection), alias_rows.count_moves(connection)

    def fetch(self, version: Version) -> Path:
        """A local folder with the version's files, every one compared with its hash. Treat it as read-only.

        Raises StoreError naming the file that is missing or wrong.
        """
        return self._holder(version).fetch(version.content_hash, self._cache)

    def read(self, version: Version, name: str) -> bytes | None:
        """One small file of a version, compared with its hash; None where it has none of that name.

        Raises StoreError when the file is missing or wrong.
        """
        return self._holder(version).read(version.content_hash, name)

    def verify(self, version: Version) -> Manifest:
        """Read every file of a version again and compare its hash. Raises StoreError naming what is wrong."""
        return self._holder(version).verify(version.content_hash)

    def close(self) -> None:
        """Close the connections to the database."""
        self._database.close()

    def _holder(self, version: Version) -> FileStore:
        # The home's own place first: a project folder that was moved still has its files, under their content hash.
        try:
            self._files.manifest(version.content_hash)
        except NotStored:
            recorded = version.artefact_uri.rpartition("/")[0]
            if recorded and version.artefact_uri != self._files.uri(version.content_hash):
                return FileStore.open(recorded)
            raise
        return self._files


def _lock(name: str) -> str:
    return f"name {name}"
