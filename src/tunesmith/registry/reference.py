"""References to versions: `name@3`, `name@champion`, `name`."""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith.errors import RegistryError
from tunesmith.registry.check import check_alias, check_name, check_number, quoted


@dataclass(frozen=True)
class Reference:
    """A name with a number, with an alias, or with neither."""

    name: str
    number: int | None = None
    alias: str | None = None


def parse_reference(text: str) -> Reference:
    """Understand a reference. Raises RegistryError when it is none; says nothing about whether the version exists."""
    if not isinstance(text, str) or len(text) > 200:
        raise RegistryError(f"{quoted(text)} is not a reference", where="version", fix="write name@3 or name@champion")
    name, separator, rest = text.partition("@")
    check_name(name)
    if not separator:
        return Reference(name)
    if rest.isascii() and rest.isdigit():
        return Reference(name, number=check_number(int(rest)))
    return Reference(name, alias=check_alias(rest))
