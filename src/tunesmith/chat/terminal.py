"""The chat at the keyboard: reads turns, prints answers, knows a few commands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TextIO

from tunesmith.chat.conversation import Conversation
from tunesmith.errors import TunesmithError
from tunesmith.report.legible import visible

HELP = (
    "/reset forgets the conversation, /base switches between base and tuned model, "
    "Ctrl-C stops an answer, Ctrl-D leaves"
)


def talk(
    conversation: Conversation, read: Callable[[str], str] = input, out: TextIO | None = None, err: TextIO | None = None
) -> None:
    """Take turns until the input ends. Answers go to `out` (standard output), everything else to `err`."""
    out, err = out or sys.stdout, err or sys.stderr
    print(HELP, file=err)
    while True:
        try:
            text = read("> ").strip()
        except KeyboardInterrupt:
            print("\nCtrl-D leaves", file=err)
            continue
        except EOFError:
            print(file=err)
            return
        if text.startswith("/"):
            print(_obey(conversation, text), file=err)
        elif text:
            _answer(conversation, text, out, err)


def _obey(conversation: Conversation, command: str) -> str:
    if command == "/reset":
        conversation.reset()
        return "forgotten"
    if command == "/base":
        conversation.use_base = not conversation.use_base
        return f"now answering: {visible(conversation.speaker)}"
    return HELP


def _answer(conversation: Conversation, text: str, out: TextIO, err: TextIO) -> None:
    def show(piece: str) -> None:
        # A model may have learnt to write what moves a cursor or sets a title.
        out.write(visible(piece))
        out.flush()

    try:
        reply = conversation.ask(text, show)
    except TunesmithError as error:
        print(f"error: {error}", file=err)
        return
    out.write("\n")
    out.flush()
    if not reply.finished:
        print(f"(cut off after {reply.answer_tokens} tokens)", file=err)
