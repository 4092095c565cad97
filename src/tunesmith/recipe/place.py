"""A value together with the place that wrote it, so that every mistake can name its line."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, or an override on the command line (then `path` is None)."""

    path: Path | None
    line: int = 0
    override: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.path else f"--set {self.override}"

    def seen_from(self, folder: Path) -> str:
        """Name the place for somebody in `folder`: `base.yaml:12`, `../base.yaml:3` or `--set`."""
        if self.path is None:
            return "--set"
        relative = os.path.relpath(self.path.parent.resolve() / self.path.name, folder.resolve())
        return f"{Path(relative).as_posix()}:{self.line}"


@dataclass(frozen=True, slots=True)
class Located:
    """A scalar, a list of `Located`, or a dict of `Located` by key; `text` is a scalar as it was written."""

    value: Any
    place: Place
    text: str = ""

    def plain(self) -> Any:
        """The value without its places, as YAML would give it."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def shown(self) -> str:
        """The value in a few words, for a message."""
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, list):
            return "a list" if self.value else "an empty list"
        if isinstance(self.value, str):
            return repr(self.value if len(self.value) <= 60 else self.value[:57] + "...")
        return self.text or str(self.value)
