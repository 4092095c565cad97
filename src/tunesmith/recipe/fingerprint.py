"""The identity of a recipe or a part of it: the same settings, however written, give the same hash."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tunesmith.recipe.section import Section


def fingerprint(section: Section) -> str:
    """Hash a section's canonical form: SHA-256 in hex of JSON with sorted keys, defaults included.

    Order of keys, comments, quotes, `extends`, the recipe's folder and what a section calls `beside` do not count;
    relative paths count as written.
    """
    return hashlib.sha256(canonical(section).encode("ascii")).hexdigest()


def canonical(section: Section) -> str:
    """Give the canonical JSON form: ASCII, no spaces, whole numbers without a point."""
    whole = section.model_dump(mode="json")
    values = _canonical({key: value for key, value in whole.items() if key not in section.beside})
    return json.dumps(values, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
