"""What PyYAML says about text that is not YAML, in words for somebody who writes recipes."""

from __future__ import annotations

import yaml

_PHRASES = {
    "found character '\\t'": (
        "a tab where spaces are needed",
        "indent with spaces",
    ),
    "found a tab character": (
        "a tab where spaces are needed",
        "indent with spaces",
    ),
    "mapping values are not allowed": (
        "a ':' where none can be",
        "put text that holds ': ' in quotes, or check the indentation",
    ),
    "could not find expected ':'": (
        "a line without a colon",
        "write `key: value`",
    ),
    "found unexpected end of stream": (
        "a quote that is never closed",
        "close it with the same kind of quote",
    ),
    "expected <block end>": (
        "this line does not line up with the ones above",
        "give keys of one section the same indentation",
    ),
    "expected ',' or": (
        "a bracket that is never closed, or a comma missing",
        "close the bracket, put commas between items",
    ),
    "found undefined alias": (
        "an alias (`*name`) of nothing",
        "put text that starts with '*' in quotes",
    ),
    "expected alphabetic or numeric": (
        "'*' or '&' without a name",
        "put text that starts with '*' or '&' in quotes",
    ),
    "found another document": (
        "a second document starts here (`---`)",
        "keep one recipe in a file",
    ),
    "that cannot start any token": (
        "a character that cannot start a value",
        "put the text in quotes",
    ),
    "special characters are not allowed": (
        "a control character",
        "remove it",
    ),
}


def in_plain_words(error: yaml.YAMLError, text: str) -> tuple[str, str, int]:
    """What is wrong, what to do, and the line counted from 1."""
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    unclosed = "end of stream" in problem or "expected ','" in problem
    mark = getattr(error, "context_mark", None) if unclosed else None
    mark = mark or getattr(error, "problem_mark", None)
    position = getattr(error, "position", None)
    line = mark.line + 1 if mark else text.count("\n", 0, position) + 1 if isinstance(position, int) else 1
    for phrase, (what, fix) in _PHRASES.items():
        if phrase in problem:
            return what, fix, line
    return f"this is not valid YAML ({problem})", "see https://yaml.org/spec/1.2.2 or quote the text", line
