"""Any dataclass of an evaluation as JSON, and back, with every type checked."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from tunesmith.errors import EvaluationError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Form = TypeVar("Form")


def to_json(value: Any) -> bytes:
    """Write a frozen dataclass, or a tuple of them, as JSON with two spaces of indent, UTF-8."""
    return _adapter(type(value)).dump_json(value, indent=2) + b"\n"


def from_json(kind: type[Form], document: bytes | str, where: str) -> Form:
    """Read what `to_json` wrote.

    Raises EvaluationError, naming the field, when the document is damaged or of another kind.
    """
    from pydantic import ValidationError

    try:
        return _adapter(kind).validate_json(document, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        raise EvaluationError(
            f"{field} is not as an evaluation writes it ({first['msg']})",
            where=where,
            fix="run `tunesmith evaluate` again to write it anew",
        ) from None


@cache
def _adapter(kind: type[Form]) -> TypeAdapter[Form]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
