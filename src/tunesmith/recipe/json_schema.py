"""The JSON schema of recipe files, for editors: completion and red lines while typing."""

from __future__ import annotations

from typing import Any

from tunesmith.recipe.schema import Recipe

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def recipe_json_schema() -> dict[str, Any]:
    """Give the schema of what may stand in a file: `extends` and the short forms too (draft 2020-12)."""
    schema = Recipe.model_json_schema()
    parts: dict[str, dict[str, Any]] = schema["$defs"]
    _allow_short_forms(parts)
    _allow_extends(schema, parts)
    return {"$schema": DIALECT, **schema, "title": "Tunesmith recipe"}


def _allow_short_forms(parts: dict[str, dict[str, Any]]) -> None:
    """A path for a list of sources, a name for a format."""
    fields = parts["DataSection"]["properties"]
    for name in ("train", "validation", "test"):
        listed = fields[name]["anyOf"][0] if "anyOf" in fields[name] else fields[name]
        one = {"oneOf": listed["items"]["oneOf"]}
        path = {"type": "string", "description": "Path, glob or URL of files with rows."}
        several = {"type": "array", "minItems": 1, "items": {"anyOf": [path, one]}}
        others = fields[name].get("anyOf", [])[1:]
        kept = {key: value for key, value in fields[name].items() if key in ("title", "description", "default")}
        fields[name] = {**kept, "anyOf": [path, one, several, *others]}
    names = parts["FormatSection"]["properties"]["type"]["enum"]
    mapping = {"$ref": fields["format"].pop("$ref")}
    fields["format"]["anyOf"] = [{"type": "string", "enum": names}, mapping]


def _allow_extends(schema: dict[str, Any], parts: dict[str, dict[str, Any]]) -> None:
    """A recipe that extends another may leave out what the other has."""
    required = schema.pop("required")
    below = {}
    for name in required:
        reference = schema["properties"][name].get("$ref", "")
        if needed := parts.get(reference.removeprefix("#/$defs/"), {}).pop("required", None):
            below[name] = {"required": needed}
    extends = {
        "type": "string",
        "description": "Another recipe, relative to this file, whose settings this one changes.",
    }
    schema["properties"] = {"extends": extends, **schema["properties"]}
    schema["if"] = {"not": {"required": ["extends"]}}
    schema["then"] = {"required": required, "properties": below}
