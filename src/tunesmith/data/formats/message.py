"""One turn in the shape of OpenAI's chat API: role, content, weight, name, tool calls."""

from __future__ import annotations

import json
import math
from typing import Any

from tunesmith.data.example import Message
from tunesmith.data.formats.flaw import Flaw, kind
from tunesmith.errors import did_you_mean

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
"""Role in the row -> role in the conversation. `developer` is OpenAI's newer name of `system`."""

TEXT_ONLY = "only text can be trained on: take the row out, or describe the rest in words"


def read_message(turn: Any, number: int) -> Message:
    """Check one turn and bring it into one shape; `number` counts from 1. Raises `Flaw`."""
    if type(turn) is not dict:
        raise Flaw(f"message {number} is {kind(turn)}, not an object", "write an object with 'role' and 'content'")
    role, content = turn.get("role"), turn.get("content")
    message = Message(role=_role(role, number), content="")
    if calls := turn.get("tool_calls"):
        message["tool_calls"] = _tool_calls(calls, message["role"], number)
    message["content"] = _content(content, number, may_lack="tool_calls" in message, present="content" in turn)
    if turn.get("weight") is not None:
        message["weight"] = _weight(turn["weight"], number)
    for key in ("name", "tool_call_id"):
        if turn.get(key) is not None:
            if not isinstance(turn[key], str):
                raise Flaw(
                    f"the '{key}' of message {number} is {kind(turn[key])}, not a string", "write it as a string"
                )
            message[key] = turn[key]
    if turn.get("function_call"):
        raise Flaw(f"message {number} has the old 'function_call'", "write it as 'tool_calls'")
    return message


def _role(role: Any, number: int) -> str:
    if role is None:
        raise Flaw(f"message {number} has no role", "write one of system, user, assistant, tool")
    if not isinstance(role, str):
        raise Flaw(
            f"the role of message {number} is {kind(role)}, not a string", "write system, user, assistant or tool"
        )
    if role not in ROLES:
        raise Flaw(f"message {number} has the unknown role '{role[:40]}'", did_you_mean(role[:40], ROLES))
    return ROLES[role]


def _content(content: Any, number: int, *, may_lack: bool, present: bool) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        # vLLM joins text parts with a line break when it serves; training must show the model the same.
        return "\n".join(_part(part, number) for part in content)
    if content is None and may_lack:
        return ""
    if content is None:
        what = f"the content of message {number} is null" if present else f"message {number} has no content"
        raise Flaw(what, "write the text of the message, or take the row out")
    raise Flaw(f"the content of message {number} is {kind(content)}, not a string", "write it as a string")


def _part(part: Any, number: int) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise Flaw(f"message {number} has a part that is {kind(part)}", 'write {"type": "text", "text": "..."}')
    part_type = part.get("type")
    if part_type == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    if part_type == "text":
        raise Flaw(f"message {number} has a text part without text", 'write {"type": "text", "text": "..."}')
    if "image" in str(part_type):
        raise Flaw(f"message {number} has an image", TEXT_ONLY)
    raise Flaw(f"message {number} has a part of type '{str(part_type)[:40]}'", TEXT_ONLY)


def _weight(weight: Any, number: int) -> float:
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise Flaw(f"the weight of message {number} is {kind(weight)}, not a number", "write 0, 1, or a number between")
    if not math.isfinite(weight) or weight < 0:
        raise Flaw(f"the weight of message {number} is {weight}", "write a number of 0 or more")
    return float(weight)


def _tool_calls(calls: Any, role: str, number: int) -> list[dict[str, Any]]:
    if role != "assistant":
        raise Flaw(f"message {number} is from the {role}, but calls tools", "only assistant turns have 'tool_calls'")
    if not isinstance(calls, list):
        raise Flaw(f"the tool_calls of message {number} are {kind(calls)}, not a list", "write a list of calls")
    return [_tool_call(call, number) for call in calls]


def _tool_call(call: Any, number: int) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        example = '{"type": "function", "function": {"name": "...", "arguments": "{}"}}'
        raise Flaw(f"message {number} has a tool call without the function's name", f"write {example}")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        # Chat templates expect an object here, and vLLM hands them one: OpenAI's string is unpacked, as there.
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            what = f"message {number} calls '{function['name']}' with arguments that are not JSON"
            raise Flaw(what, "write the arguments as a JSON object") from None
    if arguments is not None and not isinstance(arguments, dict):
        what = f"message {number} calls '{function['name']}' with arguments that are {kind(arguments)}"
        raise Flaw(what, "write the arguments as a JSON object")
    present = {key: value for key, value in call.items() if value is not None}
    return {"type": "function", **present, "function": {**function, "arguments": arguments or {}}}
