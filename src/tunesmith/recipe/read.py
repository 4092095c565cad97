"""Read one YAML file, or one value of an override, into values that know their line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tunesmith.errors import RecipeError
from tunesmith.recipe.place import Located, Place
from tunesmith.recipe.scalars import TAGGED, plain_scalar
from tunesmith.recipe.syntax import in_plain_words

MAX_BYTES = 1_000_000
MAX_VALUES = 100_000
"""More values than this come from aliases of aliases (the "billion laughs"), never from a person."""


UNTAGGED = "untagged"


class _Loader(yaml.SafeLoader):
    """Composes nodes only; words keep their text, since no resolver gives them another type."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own attribute
    DEFAULT_SCALAR_TAG = UNTAGGED  # type: ignore[misc]


def read_recipe_file(path: Path, kind: str = "a recipe", fix: str = "write one with `tunesmith init`") -> Located:
    """Read a file that must hold one mapping. Raises RecipeError naming file and line. `fix` says how to get one."""
    text = _read_text(path, kind, fix)
    root = _compose(text, path)
    if root is None:
        raise RecipeError("the file is empty", where=str(path), fix=fix)
    located = _Converter(path).convert(root)
    if not isinstance(located.value, dict):
        held = "list" if isinstance(located.value, list) else "single value"
        raise RecipeError(
            f"{kind} is a mapping of sections, this is a {held}",
            where=str(located.place),
            fix="start with `name: ...` in the first column, without a dash",
        )
    return located


def read_override(text: str, place: Place) -> Located:
    """Read the value of an override as YAML. Raises RecipeError naming the override."""
    node = _compose(text, None, place)
    return _Converter(None, place).convert(node) if node else Located(None, place, text)


def _read_text(path: Path, kind: str, advice: str) -> str:
    fix = f"name {kind}{'' if kind.endswith('file') else ' file'}, or {advice}"
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise RecipeError("there is no such file", where=str(path), fix=fix) from None
    except IsADirectoryError:
        raise RecipeError(f"this is a folder, not {kind}", where=str(path), fix=fix) from None
    except PermissionError:
        raise RecipeError("this file may not be read", where=str(path), fix="change its permissions") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RecipeError(f"the file cannot be read: {reason}", where=str(path), fix=fix) from None
    if len(raw) > MAX_BYTES:
        fix = f"{kind} is a page; is this the data?"
        raise RecipeError("the file has more than a megabyte", where=str(path), fix=fix)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise RecipeError("the file is UTF-16", where=str(path), fix="save it as UTF-8")
    if b"\0" in raw:
        raise RecipeError(f"this is a binary file, not {kind}", where=str(path), fix=fix)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise RecipeError("these bytes are not UTF-8", where=f"{path}:{line}", fix="save the file as UTF-8") from None


def _compose(text: str, path: Path | None, override: Place | None = None) -> yaml.Node | None:
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
        return node
    except RecursionError:
        raise RecipeError("lists or mappings are nested too deeply", where=str(override or path)) from None
    except yaml.YAMLError as error:
        what, fix, line = in_plain_words(error, text)
        raise RecipeError(what, where=str(override or Place(path, line)), fix=fix) from None


def _unread_tag(node: yaml.Node, place: Place) -> RecipeError:
    return RecipeError(f"the tag '{node.tag}' is not read", where=str(place), fix="remove it; put text in quotes")


class _Converter:
    """Turn composed nodes into located values, refusing what a recipe has no use for."""

    def __init__(self, path: Path | None, override: Place | None = None) -> None:
        self._path = path
        self._override = override
        self._num_values = 0
        self._open: set[int] = set()

    def convert(self, node: yaml.Node) -> Located:
        """Convert a node and everything in it."""
        place = self._place(node)
        self._num_values += 1
        if self._num_values > MAX_VALUES:
            what = f"aliases unfold to more than {MAX_VALUES:,} values"
            raise RecipeError(what, where=str(place), fix="write the values out")
        if isinstance(node, yaml.ScalarNode):
            return Located(self._scalar(node, place), place, node.value)
        if id(node) in self._open:
            raise RecipeError("an alias that holds itself", where=str(place), fix="write the values out")
        self._open.add(id(node))
        value = self._mapping(node) if isinstance(node, yaml.MappingNode) else self._list(node, place)
        self._open.discard(id(node))
        return Located(value, place)

    def _place(self, node: yaml.Node) -> Place:
        return self._override or Place(self._path, node.start_mark.line + 1)

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> Any:
        explicit = node.tag != UNTAGGED
        if explicit and node.tag not in TAGGED:
            raise _unread_tag(node, place)
        try:
            if explicit:
                return TAGGED[node.tag](node.value)
            return node.value if node.style else plain_scalar(node.value)
        except ValueError as error:
            shown = node.value if len(node.value) <= 40 else node.value[:37] + "..."
            raise RecipeError(f"'{shown}' {error}", where=str(place), fix="put it in quotes if it is text") from None

    def _list(self, node: yaml.Node, place: Place) -> list[Located]:
        if node.tag != "tag:yaml.org,2002:seq":
            raise _unread_tag(node, place)
        return [self.convert(item) for item in node.value]

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Located]:
        if node.tag != "tag:yaml.org,2002:map":
            raise _unread_tag(node, self._place(node))
        found: dict[str, Located] = {}
        for key_node, value_node in node.value:
            place = self._place(key_node)
            key = self._key(key_node, place)
            if key in found:
                what = f"'{key}' is written twice, first at {found[key].place}"
                raise RecipeError(what, where=str(place), fix="keep one of them")
            located = self.convert(value_node)
            found[key] = Located(located.value, place, located.text)  # a key's line reads better than its value's
        return found

    def _key(self, node: yaml.Node, place: Place) -> str:
        key = self._scalar(node, place) if isinstance(node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            shown = f"'{node.value}'" if isinstance(node, yaml.ScalarNode) else "a list or mapping"
            raise RecipeError(f"{shown} is not a word that can be a key", where=str(place), fix="put the key in quotes")
        if key == "<<":
            fix = "share settings with `extends: other.yaml`"
            raise RecipeError("merge keys (`<<`) are not read", where=str(place), fix=fix)
        return key
