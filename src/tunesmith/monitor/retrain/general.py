"""What any model should still be able to do: text on the machine at hand, and small tasks made from nothing.

Nothing is copied into this package: the text is the documentation of the Python that runs, the tasks are made by rule.
"""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tunesmith.data.example import Example, Message, Origin
from tunesmith.data.sources.python_docstrings import NOT_THE_LIBRARY, library_folder

SHORTEST, LONGEST = 200, 600
"""Characters of a passage; a longer one is cut at the end of a word."""

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WORDS = (
    "apple", "river", "table", "green", "winter", "music", "paper", "stone", "garden", "window", "bread", "light",
    "horse", "yellow", "doctor", "island", "summer", "bridge", "letter", "kitchen", "orange", "forest", "silver",
    "market", "pencil", "engine", "valley", "cotton", "planet", "queen", "jacket", "number", "under", "village",
    "ocean", "zebra",
)  # fmt: skip
SUMS = tuple((a, b) for a in range(1, 13) for b in (3, 8))


def passages(number: int) -> list[str]:
    """The opening documentation of modules of the standard library, in order of their names."""
    found = []
    for text in _documentation():
        if len(text) >= SHORTEST:
            found.append(text if len(text) <= LONGEST else text[:LONGEST].rpartition(" ")[0])
        if len(found) == number:
            break
    return found


def tasks() -> list[Example]:
    """Sums, days of the week, copies, first letters, opposites of order: the right answer is short and certain.

    There are enough of them that the interval of a mean is narrower than what a model that forgets loses.
    """
    found = [_task(f"What is {a} + {b}? Answer with the number only.", str(a + b)) for a, b in SUMS]
    for day, following in zip(DAYS, (*DAYS[1:], DAYS[0]), strict=True):
        found.append(_task(f"Which day of the week comes after {day}? Answer with one word.", following))
        found.append(_task(f"Which day of the week comes before {following}? Answer with one word.", day))
    found += [_task(f"Repeat this word and say nothing else: {word}", word) for word in WORDS]
    found += [_task(f"Which letter does the word '{word}' begin with?", word[0].upper()) for word in WORDS]
    found += [
        _task(f"Write these words in reverse order: {one}, {two}, {three}", f"{three}, {two}, {one}")
        for one, two, three in zip(WORDS, WORDS[1:], WORDS[2:], strict=False)
    ]
    return found


def _task(question: str, answer: str) -> Example:
    return Example(
        [Message(role="user", content=question), Message(role="assistant", content=answer)], Origin("general task", 1)
    )


def _documentation() -> Iterator[str]:
    library = library_folder()
    for path in sorted(library.glob("*.py")) + sorted(library.glob("*/*.py")):
        if not NOT_THE_LIBRARY.isdisjoint(path.relative_to(library).parts):
            continue
        if (text := _opening(path)) is not None:
            yield text


def _opening(path: Path) -> str | None:
    """A file's own documentation on one line; read without the file's code being parsed where that is enough."""
    try:
        with tokenize.open(path) as stream:
            for token in tokenize.generate_tokens(stream.readline):
                if token.type == tokenize.STRING:
                    found = ast.literal_eval(token.string)
                    return " ".join(found.split()) if isinstance(found, str) else None
                if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENCODING):
                    return None
    except (OSError, SyntaxError, ValueError, tokenize.TokenError):
        return None
    return None
