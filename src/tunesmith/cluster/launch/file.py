"""A launcher file as Ray reads it, with the line of everything, and what a user may have forgotten in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.errors import TunesmithError, did_you_mean
from tunesmith.recipe.place import Located
from tunesmith.recipe.read import read_recipe_file

PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]*>")
PROVIDERS = ("aws", "gcp", "azure", "local")
NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
"""What all clouds take as a tag or label."""

NEEDED = {"aws": {"region": "us-east-1"}, "gcp": {"project_id": "my-project-1234"}}
"""Provider -> keys of its section that the cloud cannot be asked without, each with an example."""

TOKEN = ".ray/auth_token"


class ClusterError(TunesmithError):
    """A cluster cannot be described, started, ended or looked at."""


@dataclass(frozen=True)
class LauncherFile:
    """A launcher file that is whole: `values` as plain data, `located` with places."""

    path: Path
    located: Located
    values: dict[str, Any]

    @property
    def name(self) -> str:
        """The cluster's name, which is on everything it rents."""
        return str(self.values["cluster_name"])

    @property
    def provider(self) -> str:
        """One of `PROVIDERS`."""
        return str(self.values["provider"]["type"])

    def place(self, *keys: str) -> str:
        """File and line of the deepest of these keys that is written."""
        found = self.located
        for key in keys:
            if not isinstance(found.value, dict) or key not in found.value:
                break
            found = found.value[key]
        return str(found.place)


def read_launcher_file(path: Path) -> LauncherFile:
    """Read and check the file. Raises ClusterError or RecipeError naming file and line."""
    located = read_recipe_file(path, "a launcher file", "copy one of the folder cluster/")
    file = LauncherFile(path, located, located.plain())
    _refuse_placeholders(file)
    provider = file.values.get("provider")
    kind = provider.get("type") if isinstance(provider, dict) else None
    if kind not in PROVIDERS:
        what = f"provider.type is {kind!r}" if kind else "there is no provider.type"
        raise ClusterError(what, where=file.place("provider", "type"), fix=did_you_mean(str(kind), PROVIDERS))
    name = file.values.get("cluster_name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ClusterError(
            f"cluster_name is {name!r}",
            where=file.place("cluster_name"),
            fix="small letters, digits and dashes, at most 40, a letter first",
        )
    for key, example in NEEDED.get(kind, {}).items():
        if not isinstance(file.values["provider"].get(key), str):
            raise ClusterError(f"there is no provider.{key}", where=file.place("provider"), fix=f"such as {example}")
    return file


def check_mounts(file: LauncherFile) -> None:
    """Refuse where a file that is to be copied to the machines is not here. Raises ClusterError."""
    mounts = file.values.get("file_mounts") or {}
    for target, source in mounts.items() if isinstance(mounts, dict) else ():
        if Path(str(source)).expanduser().exists():
            continue
        made = (
            "make it with `ray get-auth-token --generate`"
            if str(source).endswith(TOKEN)
            else "make it, or name another"
        )
        raise ClusterError(f"{source} is not here", where=file.place("file_mounts", str(target)), fix=made)


def _refuse_placeholders(file: LauncherFile) -> None:
    # A value that an alias repeats is written once.
    found = sorted(set(_placeholders(file.located)))
    if not found:
        return
    listed = "".join(f"\n  {file.path}:{line}: {word}" for line, word in found[1:])
    raise ClusterError(
        f"{found[0][1]} is still to be filled in{listed}",
        where=f"{file.path}:{found[0][0]}",
        fix="put your own values in their places; the top of the file and docs/cloud.md say where each comes from",
    )


def _placeholders(located: Located) -> Iterator[tuple[int, str]]:
    """Line and word of each."""
    value = located.value
    if isinstance(value, dict):
        for inner in value.values():
            yield from _placeholders(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _placeholders(inner)
    elif isinstance(value, str):
        yield from ((located.place.line, word) for word in PLACEHOLDER.findall(value))
