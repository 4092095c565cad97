"""Checks that every conversation passes, whatever format it was written in."""

from __future__ import annotations

from typing import Any

from tunesmith.data.example import Example, Message, Origin
from tunesmith.data.formats.flaw import Flaw, kind
from tunesmith.data.formats.message import read_message
from tunesmith.data.formats.tools import read_tools

PLAIN = ("user", "assistant", "system")
"""Roles of a turn that needs no change when it has nothing but role and content."""


def conversation(turns: Any, origin: Origin, tools: Any = None) -> Example:
    """Make an example of OpenAI-style messages. Raises `Flaw` for the first thing that is wrong.

    The order must be: at most one system message, first; a user turn before the first answer; an answer at the end.
    """
    if type(turns) is not list:
        raise Flaw(f"the messages are {kind(turns)}, not a list", "write a list of objects with 'role' and 'content'")
    messages: list[Message] = []
    asked = answered = False
    role = ""
    for number, turn in enumerate(turns, 1):
        # Nearly every turn of nearly every file is plain: it is taken as it is, without the price of a call.
        plain = type(turn) is dict and len(turn) == 2 and type(turn.get("content")) is str and turn.get("role") in PLAIN
        message: Message = turn if plain else read_message(turn, number)
        role = message["role"]
        if role == "assistant":
            if not asked:
                raise Flaw(
                    f"message {number} is an answer, but no user has asked anything before it",
                    "add the user's message, or take the answer out",
                )
            answered = True
            content = message["content"]
            if (not content or content.isspace()) and "tool_calls" not in message:
                raise Flaw(f"message {number}, an answer, is empty", "write the answer, or take the row out")
        elif role == "user":
            asked = True
        elif role == "system" and number > 1:
            _refuse_late_system(messages, number)
        messages.append(message)
    if not answered:
        what = "the conversation has no assistant turn" if turns else "the conversation has no messages"
        raise Flaw(what, "add the answer the model should learn, or take the row out")
    if role != "assistant":
        raise Flaw(
            f"the last message is from the {role}, and no answer follows it",
            "add the answer, or take the messages after the last answer out",
        )
    return Example(messages, origin, read_tools(tools) if tools is not None else None)


def _refuse_late_system(messages: list[Message], number: int) -> None:
    if any(message["role"] == "system" for message in messages):
        raise Flaw(f"message {number} is a second system message", "join the system messages into one")
    raise Flaw(f"message {number} is a system message, but not the first message", "put the system message first")
