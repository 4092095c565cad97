"""The base of every recipe section: frozen, documented, closed to unknown keys."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a recipe. The string under each field is its documentation, in the JSON schema too."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )

    beside: ClassVar[tuple[str, ...]] = ()
    """Fields that are no part of what the section is: they do not count for its fingerprint."""
