"""Turn what pydantic found into sentences about the file the user wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from tunesmith.errors import did_you_mean
from tunesmith.recipe.fields import (
    Kinds,
    accepts_boolean,
    choices,
    describe,
    is_keyed,
    item_annotation,
    sections_in,
    type_name,
)
from tunesmith.recipe.mistakes import Mistake
from tunesmith.recipe.place import Located
from tunesmith.recipe.schema import Recipe
from tunesmith.recipe.section import Section

_FEW = 7
"""As many choices are listed in a sentence."""


@dataclass(frozen=True)
class Spot:
    """Where an error's path leads: the field as written, the nearest value, the models on the way."""

    parts: tuple[str, ...]
    node: Located
    section: type[Section]
    info: FieldInfo | None = None
    annotation: Any = None
    kinds: Mapping[str, type[Section]] | None = None
    root: type[Section] = Recipe

    @property
    def field(self) -> str:
        """The dotted name, as the user would write it."""
        return ".".join(self.parts) or "recipe"


def explain(error: ValidationError, tree: Located, root: type[Section] = Recipe) -> list[Mistake]:
    """One mistake for each field that is wrong; the branches of a union count as one. `root` is what the file holds."""
    found: dict[str, Mistake] = {}
    for detail in error.errors(include_url=False):
        path = detail["loc"]
        if detail["type"] == "missing" and isinstance(path[-1], int):  # an item: the list is too short
            path = path[:-1]
        spot = find_spot(tree, path, root)
        refusal = detail.get("ctx", {}).get("error")
        mistake = _explain(detail["type"], refusal.args if isinstance(refusal, ValueError) else (), spot)
        found.setdefault(mistake.field, mistake)
    return list(found.values())


def misplaced_booleans(tree: Located, root: type[Section] = Recipe) -> Iterator[Mistake]:
    """Find true and false where a number is meant: pydantic would read them as 1 and 0."""
    for path, node in _leaves(tree, ()):
        if isinstance(node.value, bool):
            spot = find_spot(tree, path, root)
            if spot.info is not None and spot.annotation is not None and not accepts_boolean(spot.annotation):
                yield _wrong_value(spot)


def find_spot(tree: Located, path: Sequence[str | int], root: type[Section] = Recipe) -> Spot:
    """Follow an error's path through models and file at once; names of union branches lead nowhere in either."""
    spot = Spot((), tree, root, kinds={"file": root}, root=root)
    for part in path:
        spot = _step(spot, part)
    return spot


def _step(spot: Spot, part: str | int) -> Spot:
    kinds = spot.kinds or {}
    if isinstance(part, int):
        return _item(spot, part)
    if len(kinds) > 1 and part in kinds:
        return replace(spot, section=kinds[part], kinds={part: kinds[part]})
    if not kinds:
        return spot
    if is_keyed(spot.annotation):  # a name that the user chose
        node = spot.node.value.get(part, spot.node) if isinstance(spot.node.value, dict) else spot.node
        return Spot((*spot.parts, part), node, spot.section, spot.info, None, kinds)
    section = next(iter(kinds.values()))
    if len(kinds) > 1 and isinstance(spot.node.value, dict):  # a path through the file itself has no branch name
        section = kinds.get(str(spot.node.value.get("type", spot.node).value), section)
    node = spot.node.value.get(part, spot.node) if isinstance(spot.node.value, dict) else spot.node
    info = section.model_fields.get(part)
    annotation = info.annotation if info else None
    return Spot(
        (*spot.parts, part), node, section, info, annotation, sections_in(annotation) if info else {}, spot.root
    )


def _item(spot: Spot, number: int) -> Spot:
    if not isinstance(spot.node.value, list):  # one source stands for a list of one
        return spot
    node = spot.node.value[number] if number < len(spot.node.value) else spot.node
    annotation = spot.annotation if spot.kinds else item_annotation(spot.annotation)
    return replace(spot, parts=(*spot.parts, str(number)), node=node, annotation=annotation)


def _leaves(node: Located, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Located]]:
    if isinstance(node.value, dict):
        for key, item in node.value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(node.value, list):
        for number, item in enumerate(node.value):
            yield from _leaves(item, (*path, number))
    else:
        yield path, node


def _explain(kind: str, refusal: tuple[str, ...], spot: Spot) -> Mistake:
    """`refusal` is what a validator of our own raised: what is wrong and, if it says so, what to do."""
    match kind:
        case "extra_forbidden":
            return _unknown_key(spot)
        case "missing" if spot.info is not None and not isinstance(spot.node.value, list):
            documentation = _documentation(spot)
            return Mistake(spot.field, "missing", spot.node.place, f"add `{spot.parts[-1]}:` ({documentation})")
        case "value_error":
            reason, *advised = refusal
            advice = advised[0] if advised else "see `tunesmith recipe schema --markdown`"
            return Mistake(spot.field, reason, spot.node.place, advice)
        case "union_tag_invalid" if isinstance(spot.node.value, dict):
            given = spot.node.value["type"]
            what = f"{given.shown()} is not a type of source"
            return Mistake(f"{spot.field}.type", what, given.place, did_you_mean(str(given.value), spot.kinds or {}))
        case "union_tag_not_found" if isinstance(spot.node.value, dict):
            fix = f"add `path:` for files, or `type:` with one of {', '.join(spot.kinds or {})}"
            return Mistake(spot.field, "a source needs a 'path' or a 'type'", spot.node.place, fix)
        case "string_pattern_mismatch":
            what = f"{spot.node.shown()} is not allowed here"
            return Mistake(spot.field, what, spot.node.place, _documentation(spot))
    return _wrong_value(spot)


def _unknown_key(spot: Spot) -> Mistake:
    key = spot.parts[-1]
    owner = type_name(spot.section) if "type" in spot.section.model_fields else None
    what = f"unknown key for the type '{owner}'" if owner and len(spot.parts) > 1 else "unknown key"
    known = [*spot.section.model_fields, *(["extends"] if spot.section is Recipe else [])]
    fix = did_you_mean(key, known)
    homes = [name for name in _homes(spot.root, key) if name != spot.field]
    if homes and fix.startswith("known:"):
        fix = f"did you mean '{homes[0]}'?"
    return Mistake(spot.field, what, spot.node.place, fix)


def _homes(section: type[Section], key: str, prefix: str = "") -> list[str]:
    """Dotted names of the fields called `key`, leaving out those that have several kinds of section."""
    found = [f"{prefix}{key}"] if prefix and key in section.model_fields else []
    for name, info in section.model_fields.items():
        kinds: Kinds = sections_in(info.annotation)
        if len(kinds) == 1:
            found += _homes(next(iter(kinds.values())), key, f"{prefix}{name}.")
    return found


def _wrong_value(spot: Spot) -> Mistake:
    node, info = spot.node, spot.info
    kinds = spot.kinds or {}
    if kinds and len(kinds) > 1:
        what = f"{node.shown()} is not a path or a source" if node.value is not None else "no value"
        return Mistake(spot.field, what, node.place, f"give a path, or a mapping with a type: {', '.join(kinds)}")
    wanted = _wanted(spot)
    if node.value is None:
        default = "" if info is None or info.is_required() else ", or remove the key to have the default"
        return Mistake(spot.field, "no value", node.place, f"give {wanted}{default}")
    shown = node.shown()
    if isinstance(node.value, list) and wanted.startswith("a list of "):
        shown = f"a list of {len(node.value)}"
    listed = wanted.startswith("a list out of ") and not isinstance(node.value, list)
    many = len(choices(spot.annotation)) > _FEW and isinstance(node.value, str)
    needed = "a list" if listed else "a name known here" if many else wanted
    what = f"{shown} is not {needed}"
    return Mistake(spot.field, what, node.place, _advice(spot, wanted))


def _wanted(spot: Spot) -> str:
    if spot.kinds:
        return "a mapping"
    item = spot.info is not None and spot.annotation is not spot.info.annotation
    metadata = spot.info.metadata if spot.info and not item else []
    return describe(spot.annotation, metadata)


def _advice(spot: Spot, wanted: str) -> str:
    node = spot.node
    if wanted.startswith("text") and not isinstance(node.value, dict | list):
        return f"put it in quotes: '{node.text}'"
    if wanted == "a mapping":
        return "write `key: value` lines below it, indented by two spaces"
    words = choices(spot.annotation)
    if "a list of texts" in wanted or ("a list" in wanted and node.value in words):
        return f"put it in brackets: [{node.value}]"
    if isinstance(node.value, str) and words:
        return did_you_mean(node.value, words)
    return f"give {wanted}"


def _documentation(spot: Spot) -> str:
    text = spot.info.description if spot.info and spot.info.description else ""
    return " ".join(text.split()).removesuffix(".")
