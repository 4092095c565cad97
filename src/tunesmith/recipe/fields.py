"""What a recipe may hold, read off the models: sections, fields, and their values in plain words."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from tunesmith.recipe.section import Section

Kinds = dict[str, type[Section]]
"""Name of a `type` -> its section, for a field that can hold one of several."""


@dataclass(frozen=True)
class Field:
    """One field of a recipe: its dotted name, its values in words, its default as written in YAML or None."""

    name: str
    values: str
    default: str | None
    documentation: str


def sections_in(annotation: Any) -> Kinds:
    """The sections a field can hold, by the name of their `type` (their class name when they have none)."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return {type_name(annotation) or annotation.__name__: annotation}
    found: Kinds = {}
    arguments = get_args(annotation)
    for part in arguments[:1] if get_origin(annotation) is Annotated else arguments:
        found.update(sections_in(part))
    return found


def type_name(section: type[Section]) -> str | None:
    """The one value of a section's `type`, when it has such a field."""
    field = section.model_fields.get("type")
    values = get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()
    return str(values[0]) if len(values) == 1 else None


def is_list(annotation: Any) -> bool:
    """Whether a field holds a list of sections."""
    if get_origin(annotation) is tuple:
        return True
    return any(is_list(part) for part in get_args(annotation) if part is not type(None))


def is_keyed(annotation: Any) -> bool:
    """Whether a field holds sections by names that the user chooses."""
    return get_origin(annotation) is dict and bool(sections_in(annotation))


def choices(annotation: Any) -> list[str]:
    """Every word that is allowed by itself, looking into lists and unions."""
    if get_origin(annotation) is Literal:
        return [value for value in get_args(annotation) if isinstance(value, str)]
    return [word for part in get_args(annotation) for word in choices(part)]


def item_annotation(annotation: Any) -> Any:
    """What the items of a list field must be, or the annotation itself when it is no list."""
    for part in (annotation, *_alternatives(annotation)):
        if get_origin(part) is tuple:
            return get_args(part)[0]
    return annotation


def accepts_boolean(annotation: Any) -> bool:
    """Whether true and false are meant values of a field."""
    return annotation in (bool, Any) or any(accepts_boolean(part) for part in get_args(annotation))


def describe(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """The values a field takes, in words that fit behind 'needs': 'a number above 0', 'one of a, b'."""
    if get_origin(annotation) is Annotated:
        inner, *extra = get_args(annotation)
        return describe(inner, [*metadata, *_constraints(extra)])
    alternatives = _alternatives(annotation)
    if alternatives:
        words = _distinct(describe(part, metadata) for part in alternatives if part is not type(None))
        return " or ".join([*words, *(["null"] if type(None) in alternatives else [])])
    if get_origin(annotation) is Literal:
        return _literal(get_args(annotation))
    if get_origin(annotation) is tuple:
        return _list(get_args(annotation))
    if sections_in(annotation) or get_origin(annotation) is dict:
        return "a mapping"
    simple = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return simple.get(annotation, "a value") + _bounds(metadata)


def walk(section: type[Section], prefix: str = "") -> Iterator[tuple[str, type[Section], list[Field]]]:
    """Yield each section in order: its dotted name, its class, and its fields that are not sections themselves."""
    leaves = []
    below: list[tuple[str, type[Section]]] = []
    for name, info in section.model_fields.items():
        kinds = sections_in(info.annotation)
        if not kinds or is_list(info.annotation) or is_keyed(info.annotation) or _has_plain(info.annotation):
            leaves.append(_field(name, info))
        if prefix != "data." or name not in ("validation", "test"):  # the same sources as `train`, described once
            place = f"{prefix}{name}" + (".*" if is_keyed(info.annotation) else "")
            below.extend((place + _kind_suffix(kinds, kind), kind) for kind in kinds.values())
    yield prefix.rstrip("."), section, leaves
    for dotted, kind in below:
        yield from walk(kind, f"{dotted}.")


def _kind_suffix(kinds: Kinds, kind: type[Section]) -> str:
    return f" ({type_name(kind)})" if len(kinds) > 1 else ""


def _has_plain(annotation: Any) -> bool:
    """Whether a field may also hold something that is no section, such as null or a number."""
    return any(not sections_in(part) for part in _alternatives(annotation))


def _optional(annotation: Any) -> bool:
    return type(None) in get_args(annotation)


def _field(name: str, info: FieldInfo) -> Field:
    kinds = sections_in(info.annotation)
    values = describe(info.annotation, info.metadata)
    if len(kinds) > 1:
        values = "a path, a source, a list of either" + (", or null" if _optional(info.annotation) else "")
    default = None if info.is_required() else _yaml(info.get_default(call_default_factory=True))
    documentation = info.description or ("Which kind this is." if name == "type" else "")
    return Field(name, values, default, " ".join(documentation.split()))


def _yaml(value: Any) -> str:
    from tunesmith.recipe.dump import flow

    return flow(value)


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else ()


def _constraints(extra: Sequence[Any]) -> list[Any]:
    return [item for part in extra for item in (part.metadata if isinstance(part, FieldInfo) else [part])]


def _distinct(words: Iterator[str]) -> list[str]:
    """Drop 'a whole number' beside 'a number', which says it already."""
    kept = list(dict.fromkeys(words))
    return [word for word in kept if not (word.startswith("a whole number") and word.replace("whole ", "") in kept)]


def _literal(values: tuple[Any, ...]) -> str:
    words = [str(value) for value in values]
    if len(words) == 1:
        return f"'{words[0]}'"
    return " or ".join(words) if len(words) == 2 else "one of " + ", ".join(words)


def _list(arguments: tuple[Any, ...]) -> str:
    item, size = arguments[0], "" if arguments[-1] is Ellipsis else f"{len(arguments)} "
    plurals = {int: "whole numbers", float: "numbers", str: "texts"}
    item, *extra = get_args(item) if get_origin(item) is Annotated else (item,)
    if item in plurals:
        return f"a list of {size}{plurals[item]}{_bounds(_constraints(extra))}"
    return f"a list out of {', '.join(choices(item))}" if choices(item) else "a list"


def _bounds(metadata: Sequence[Any]) -> str:
    words = []
    for constraint in metadata:
        match constraint:
            case annotated_types.Ge(ge=low):
                words.append(f"of at least {low}")
            case annotated_types.Gt(gt=low):
                words.append(f"above {low}")
            case annotated_types.Le(le=high):
                words.append(f"of at most {high}")
            case annotated_types.Lt(lt=high):
                words.append(f"below {high}")
    return " " + " and ".join(words) if words else ""
