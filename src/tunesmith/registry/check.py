"""What may go into the registry. Names, texts and JSON come from outside and are shown to people: all are checked."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

from tunesmith.errors import RegistryError, did_you_mean
from tunesmith.registry.version import Kind, NewVersion, Verdict

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,62}")
HASH = re.compile(r"[A-Za-z0-9:_-]{1,128}")
MAX_TEXT = 4000
MAX_JSON_BYTES = 16 * 2**20
RESERVED = ("latest",)


def quoted(text: object) -> str:
    """A value from outside as one short, printable piece: hostile names must not flood or steer a terminal."""
    shown = ascii(text) if not isinstance(text, str) or not text.isprintable() else f"'{text}'"
    return shown if len(shown) <= 80 else f"{shown[:60]}…' ({len(shown) - 2} characters)"


def check_name(name: object) -> str:
    """Return a model's name if it is one. Raises RegistryError otherwise."""
    if isinstance(name, str) and len(name) <= 63 and NAME.fullmatch(name):
        return name
    raise RegistryError(
        f"{quoted(name)} is not a name for a model",
        where="name",
        fix="use up to 63 lower-case letters, digits, dots, dashes and underscores, beginning with a letter or digit",
    )


def check_alias(alias: object) -> str:
    """Return an alias if it is one. Raises RegistryError otherwise."""
    if isinstance(alias, str) and len(alias) <= 63 and ALIAS.fullmatch(alias) and alias not in RESERVED:
        return alias
    why = "is kept for the newest version" if alias in RESERVED else "is not an alias"
    raise RegistryError(
        f"{quoted(alias)} {why}",
        where="alias",
        fix="use up to 63 lower-case letters, digits, dashes and underscores, beginning with a letter: champion",
    )


def check_number(number: object) -> int:
    """Return a version's number if it can be one. Raises RegistryError otherwise."""
    if isinstance(number, int) and not isinstance(number, bool) and 1 <= number < 2**31:
        return number
    raise RegistryError(f"{quoted(number)} is not a version number", where="version", fix="numbers begin at 1: name@1")


def check_text(text: object, where: str, *, many_lines: bool = False) -> str:
    """Return a text if it is not empty, printable and at most 4,000 characters. Raises RegistryError otherwise."""
    if not isinstance(text, str) or not text.strip():
        raise RegistryError("this may not be empty", where=where, fix=f"say something in '{where}'")
    if len(text) > MAX_TEXT:
        raise RegistryError(f"{len(text)} characters are too many", where=where, fix=f"use at most {MAX_TEXT}")
    allowed = "\n\t" if many_lines else ""
    if not all(letter.isprintable() or letter in allowed for letter in text):
        raise RegistryError(
            f"{quoted(text)} holds control characters", where=where, fix="remove them: they would steer the terminal"
        )
    return text


def check_json(value: object, where: str) -> Any:
    """Return a value as it comes back from JSON. Raises RegistryError for NaN, for other types and above 16 MiB."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise RegistryError(f"not JSON: {error}", where=where, fix="use null for a number that is not there") from None
    if len(text) > MAX_JSON_BYTES:
        raise RegistryError(
            f"{len(text)} bytes are too many", where=where, fix="put the whole in a file and give its URI: report_uri"
        )
    return json.loads(text)


def check_new(new: NewVersion) -> dict[str, Any]:
    """The columns of a new version that the caller gives. Raises RegistryError naming the field that is wrong."""
    for where, value, known in (("kind", new.kind, get_args(Kind)), ("verdict", new.verdict, get_args(Verdict))):
        if value not in known:
            raise RegistryError(f"{quoted(value)} is not known", where=where, fix=did_you_mean(str(value)[:40], known))
    if not isinstance(new.recipe_hash, str) or not HASH.fullmatch(new.recipe_hash):
        raise RegistryError(
            f"{quoted(new.recipe_hash)} is not a hash", where="recipe_hash", fix="give the hash of the resolved recipe"
        )
    if isinstance(new.reasons, str):
        raise RegistryError("reasons are a list of texts", where="reasons", fix="put the text in a list")
    optional = {name: getattr(new, name) for name in ("base_revision", "dataset_version", "run_id", "report_uri")}
    if not isinstance(new.recipe, dict) or not isinstance(new.metrics, dict):
        raise RegistryError("recipe and metrics are mappings", where="recipe", fix="give dictionaries")
    return {
        "name": check_name(new.name),
        "kind": new.kind,
        "base_model": check_text(new.base_model, "base_model"),
        "recipe_hash": new.recipe_hash,
        "recipe": check_json(new.recipe, "recipe"),
        "created_by": check_text(new.created_by, "created_by"),
        **{name: None if text is None else check_text(text, name) for name, text in optional.items()},
        "report": None if new.report is None else check_json(new.report, "report"),
        "verdict": new.verdict,
        "reasons": [check_text(reason, "reasons", many_lines=True) for reason in new.reasons],
        "metrics": check_json(new.metrics, "metrics"),
    }
