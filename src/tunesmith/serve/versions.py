"""What an engine reads of the registry: a version's files and proofs, and which version an alias means."""

from __future__ import annotations

from pathlib import Path

from tunesmith.registry.registry import Registry
from tunesmith.serve.catalogue import Target, read_catalogue
from tunesmith.serve.checks import read_checks, read_proofs, state_of
from tunesmith.serve.fast import Wanted
from tunesmith.serve.spec import EngineSpec
from tunesmith.store.database import Database
from tunesmith.store.home import Home, find_home


class Versions:
    """For one engine."""

    def __init__(self, spec: EngineSpec, home: Home | None = None) -> None:
        self._spec, self._home = spec, home or find_home()
        self._registry, self._database = Registry.open(self._home), Database.open(self._home.database_url)
        self._known: dict[str, Target] = {}
        self._seen: object = None
        self._aimed: str | None = None

    @property
    def scratch(self) -> Path:
        """Where files are written that can be made again."""
        return self._home.folder / "fast"

    def find(self, reference: str) -> Wanted:
        """A version's files on this machine, every one compared with its hash, and what its parity check has compared.

        Raises RegistryError or StoreError.
        """
        version = self._registry.resolve(reference)
        proofs = read_proofs(self._database, reference, self._spec)
        return Wanted(reference, version.content_hash[:16], self._registry.fetch(version), proofs)

    def aim(self) -> str | None:
        """The version that is to be merged: what the alias means, where that is served. Raises StoreError."""
        assert self._spec.fast is not None
        seen = self._registry.state(), state_of(self._database)
        if seen != self._seen:
            name = self._spec.fast.partition("@")[0]
            names = [name] if any(version.name == name for version in self._registry.versions()) else []
            catalogue = read_catalogue(self._registry, [self._spec], names, read_checks(self._database), self._known)
            target = catalogue.targets.get(catalogue.aliases.get(self._spec.fast, ""))
            self._aimed, self._seen = target.version if target else None, seen
        return self._aimed
