"""A client's request, checked and turned into what the engine is asked. Nothing in it is ever opened or executed."""

from __future__ import annotations

from typing import Any

import orjson

from tunesmith.recipe.serve import LimitsSection
from tunesmith.serve.catalogue import Target
from tunesmith.serve.problem import Problem, refused

COMMON = frozenset({
    "model", "frequency_penalty", "logit_bias", "logprobs", "max_tokens", "n", "presence_penalty", "response_format",
    "seed", "stop", "stream", "stream_options", "temperature", "top_p", "user", "top_k", "min_p", "repetition_penalty",
    "length_penalty", "stop_token_ids", "include_stop_str_in_output", "ignore_eos", "min_tokens",
    "skip_special_tokens", "spaces_between_special_tokens", "prompt_logprobs", "allowed_token_ids", "bad_words",
    "echo", "add_special_tokens", "structured_outputs", "return_tokens_as_token_ids", "return_token_ids",
    "metadata", "store", "service_tier",
})  # fmt: skip
CHAT = COMMON | {
    "messages", "top_logprobs", "max_completion_tokens", "tools", "tool_choice", "parallel_tool_calls",
    "reasoning_effort", "include_reasoning", "add_generation_prompt", "continue_final_message",
    "safety_identifier", "prompt_cache_key", "verbosity",
}  # fmt: skip
COMPLETION = COMMON | {"prompt", "suffix"}
EMBEDDING = frozenset({"model", "input", "user", "encoding_format", "dimensions", "add_special_tokens"})
FIELDS = {"/v1/chat/completions": CHAT, "/v1/completions": COMPLETION, "/v1/embeddings": EMBEDDING}
"""Fields that are offered, by path: OpenAI's, and those of vLLM's that only steer sampling. Left out are those that
bring templates, tensors, files or addresses."""

OURS = ("metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "verbosity")
"""Fields of OpenAI's that no engine here knows; they are accepted and change nothing."""

MAX_DEPTH = 64


def parse(path: str, raw: bytes) -> dict[str, Any]:
    """The request as a mapping of offered fields. Raises Problem 400 naming the field."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Problem(400, f"the body is not JSON: {error.msg} at character {error.pos}", "not_json") from None
    if not isinstance(body, dict):
        raise Problem(400, "the body is not a JSON object", "not_an_object")
    if unknown := sorted(set(body) - FIELDS[path]):
        raise refused(unknown[0][:80], f"{unknown[0][:80]!a} is not offered here", "unknown_field")
    if path == "/v1/chat/completions":
        _check_messages(body.get("messages"))
    if _depth(body) > MAX_DEPTH:
        raise Problem(400, f"the body is nested more than {MAX_DEPTH} deep", "too_deep")
    return body


def is_stream(body: dict[str, Any]) -> bool:
    """Whether the answer is to come in pieces."""
    return body.get("stream") is True


def within(body: dict[str, Any], limits: LimitsSection) -> None:
    """Hold a request to the limits, and give it one for its answer where it has none. Raises Problem 400."""
    choices = body.get("n")
    if isinstance(choices, int) and choices > limits.max_choices:
        raise refused("n", f"n is {choices}, and at most {limits.max_choices} answers are given to a request")
    if limits.max_answer_tokens is None:
        return
    for name in ("max_tokens", "max_completion_tokens"):
        wanted = body.get(name)
        if isinstance(wanted, int) and wanted > limits.max_answer_tokens:
            raise refused(name, f"{name} is {wanted}, and answers have at most {limits.max_answer_tokens} tokens")
    if "messages" in body and body.get("max_tokens") is None and body.get("max_completion_tokens") is None:
        body["max_completion_tokens"] = limits.max_answer_tokens


def for_engine(body: dict[str, Any], target: Target) -> bytes:
    """What the engine is asked: the target's own name, template and system message in the client's request."""
    asked = {key: value for key, value in body.items() if key not in OURS}
    asked["model"] = target.model
    if "messages" in asked:
        if target.template is not None:
            asked["chat_template"] = target.template
        if target.system is not None and not any(one.get("role") == "system" for one in asked["messages"]):
            asked["messages"] = [{"role": "system", "content": target.system}, *asked["messages"]]
        if target.messages:
            own = [
                one
                for one in asked["messages"]
                if one.get("role") != "system" or target.messages[0]["role"] != "system"
            ]
            asked["messages"] = [*target.messages, *own]
    return orjson.dumps(asked)


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list) or not messages:
        raise refused("messages", "messages is a list of at least one message", "missing_messages")
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise refused(where, f"{where} is not a message: an object with a role and content")
        content = message.get("content")
        if isinstance(content, list):
            for place, part in enumerate(content):
                if not isinstance(part, dict) or part.get("type") not in ("text", "input_text", "refusal"):
                    raise refused(
                        f"{where}.content[{place}]", "only parts of type 'text' are taken: no address is ever opened"
                    )
        elif content is not None and not isinstance(content, str):
            raise refused(f"{where}.content", "content is a text or a list of parts")


def _depth(value: object) -> int:
    """How deep a JSON value is nested, at most one more than is allowed."""
    level, found = [value], 0
    while level and found <= MAX_DEPTH:
        found += 1
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return found
