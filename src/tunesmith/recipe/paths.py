"""Relative paths start at the file that wrote them, wherever the recipe that is run lies."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from tunesmith.recipe.place import Located

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def anchor_paths(tree: Located, folder: Path) -> Located:
    """Rewrite relative paths written elsewhere (in a parent recipe, on the command line) to start at `folder`.

    Rewritten are the paths of file sources, folders and files named as model or dataset (never a hub id), and the chat
    template. The command line's paths start where the command was given.
    """
    tree = _under(tree, ("model", "source"), partial(_moved, folder=folder, may_be_id=True))
    tree = _under(tree, ("model", "chat_template"), partial(_moved, folder=folder))
    for split in ("train", "validation", "test"):
        tree = _under(tree, ("data", split), partial(_moved_source, folder=folder))
    return tree


def _under(node: Located, keys: tuple[str, ...], change: Callable[[Located], Located]) -> Located:
    """Apply a change to the value at `keys`, if there is one."""
    if not keys:
        return change(node)
    if not isinstance(node.value, dict) or keys[0] not in node.value:
        return node
    return replace(node, value={**node.value, keys[0]: _under(node.value[keys[0]], keys[1:], change)})


def _moved_source(node: Located, folder: Path) -> Located:
    if isinstance(node.value, list):
        return replace(node, value=[_moved_source(item, folder) for item in node.value])
    if isinstance(node.value, dict):
        kind = node.value.get("type")
        may_be_id = kind is not None and kind.value == "dataset"
        return _under(node, ("path",), partial(_moved, folder=folder, may_be_id=may_be_id))
    return _moved(node, folder=folder)


def _moved(node: Located, *, folder: Path, may_be_id: bool = False) -> Located:
    path: Any = node.value
    home = (node.place.path.parent if node.place.path else Path()).resolve()
    if not isinstance(path, str) or not path or home == folder.resolve():
        return node
    if path.startswith(("/", "~")) or _URL.match(path) or (may_be_id and not _is_path(path, home)):
        return node
    moved = PurePosixPath(Path(os.path.relpath(home / path, folder.resolve()))).as_posix()
    return replace(node, value=moved if moved.startswith("../") else f"./{moved}")


def _is_path(name: str, home: Path) -> bool:
    return name.startswith(("./", "../")) or name.endswith(".gguf") or (home / name).exists()
