"""What the endpoint takes and answers, for its OpenAPI page. vLLM checks the rest of a request's fields itself."""

from __future__ import annotations

from typing import Any

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "integer", "null"]},
            },
        }
    },
}

WHAT = {
    400: "A field makes no sense or is not offered.", 401: "No API key, or one that is not known.",
    403: "The API key may not do this.", 404: "No such model, or one that is not served.",
    413: "The body is too large.", 422: "A field has the wrong type.", 429: "The API key's limit is reached.",
    503: "The engine does not answer.", 504: "The answer took too long.",
}  # fmt: skip

ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"description": what, "content": {"application/json": {"schema": ERROR}}} for status, what in WHAT.items()
}

MODEL = {"type": "string", "description": "An alias, a name, a version (name@3) or the base model."}
TEMPERATURE = {"type": "number", "minimum": 0, "maximum": 2}
MESSAGE = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {"role": {"enum": ["system", "user", "assistant"]}, "content": {"type": "string", "minLength": 1}},
}
COUNT = {"type": "integer", "minimum": 1, "maximum": 8}
BODIES: dict[str, dict[str, Any]] = {
    "chat": {
        "required": ["model", "messages"],
        "properties": {
            "model": MODEL,
            "messages": {"type": "array", "items": MESSAGE, "minItems": 1},
            "max_completion_tokens": COUNT,
            "temperature": TEMPERATURE,
            "stream": {"type": "boolean"},
        },
    },
    "completion": {
        "required": ["model", "prompt"],
        "properties": {
            "model": MODEL,
            "prompt": {"type": "string", "minLength": 1},
            "max_tokens": COUNT,
            "temperature": TEMPERATURE,
            "stream": {"type": "boolean"},
        },
    },
    "feedback": {
        "required": ["id"],
        "properties": {
            "id": {"type": "string", "description": "That of an answer: chatcmpl-..."},
            "thumb": {"enum": ["up", "down"]},
            "score": {"type": "number"},
            "label": {"type": "string"},
            "correction": {"type": "string", "description": "The answer as it should have been."},
            "text": {"type": "string"},
            "metrics": {"type": "object", "additionalProperties": {"type": "number"}},
        },
    },
    "embedding": {
        "required": ["model", "input"],
        "properties": {"model": MODEL, "input": {"type": "string", "minLength": 1}},
    },
}


def describe(kind: str) -> dict[str, Any]:
    """What FastAPI is told of a path whose body it does not parse."""
    schema = {"type": "object", **BODIES[kind]}
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {"openapi_extra": {"requestBody": body}, "responses": ANSWERS, "response_model": None}
