"""Words that no answer may hold, unless the question does."""

from __future__ import annotations

import re
import unicodedata

from tunesmith.evaluate.gates import GateVerdict
from tunesmith.monitor.retrain.contest import Rivals
from tunesmith.monitor.retrain.gates.gate import Gate, Shown
from tunesmith.monitor.traffic.redact import redact, shortened
from tunesmith.report.legible import one_line

MAX_SHOWN = 5
TURN = re.compile(r"(?:\A|\n\n)(system|user|assistant|tool|developer|function): ")
"""Where a turn begins in the text of a question."""


class SafeWords(Gate):
    """Fails when the challenger uses one of `blocked_words` on a held-out row whose user does not.

    Letters are compared whatever their case and however they are encoded; what cannot be seen does not count.
    """

    name = "safe-words"

    def decide(self, shown: Shown) -> GateVerdict:
        words = shown.gates.blocked_words
        if not words:
            return self.verdict(True, "the recipe blocks no words", num_answers=0, words=[])
        found = [one for rivals in (shown.answers.new, shown.answers.old) for one in _uses(rivals, words)]
        answers = len(shown.answers.new.rows) + len(shown.answers.old.rows)
        rows = [
            {"word": word, "row": row, "answer": one_line(redact(shortened(text)), 300)}
            for word, row, text in found[:MAX_SHOWN]
        ]
        if not answers:
            return self.verdict(False, "cannot tell: there are no held-out rows", num_answers=0, words=list(words))
        if found:
            used = ", ".join(sorted({word for word, _, _ in found}))
            reason = f"{len(found)} of {answers} answers hold a blocked word where the question does not: {used}"
            return self.verdict(False, reason, num_answers=answers, words=list(words), num_found=len(found), rows=rows)
        return self.verdict(
            True, f"none of {answers} answers holds a blocked word", num_answers=answers, words=list(words)
        )


def _uses(rivals: Rivals, words: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """Word, row and answer of each use."""
    if rivals.challenger is None:
        return []
    patterns = {word: re.compile(rf"(?<!\w){re.escape(_folded(word))}(?!\w)") for word in words}
    return [
        (word, row.origin, answer.text)
        for row, answer in zip(rivals.rows, rivals.challenger.answers, strict=True)
        for word, pattern in patterns.items()
        if pattern.search(_folded(answer.text)) and not pattern.search(_folded(_of_user(row.prompt_text)))
    ]


def _of_user(question: str) -> str:
    """What the user's turns say: a word of the system message is no excuse."""
    _, *turns = TURN.split(question)
    return "\n".join(text for role, text in zip(turns[::2], turns[1::2], strict=True) if role == "user")


def _folded(text: str) -> str:
    """The text as it is compared: without characters that cannot be seen, in one encoding and case, white space as one
    space."""
    seen = "".join(char for char in text if unicodedata.category(char) != "Cf")
    alike = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).casefold())
    return " ".join(alike.split())
