"""Which version a bare name means to clients now."""

from __future__ import annotations

from tunesmith.experiment.promote import CHAMPION
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import Version


def live_version(registry: Registry, name: str) -> Version:
    """The champion, or the newest that passed where there is none. Raises RegistryError for an unknown name."""
    has_champion = any(alias.alias == CHAMPION for alias in registry.aliases(name))
    return registry.resolve(f"{name}@{CHAMPION}" if has_champion else name)
