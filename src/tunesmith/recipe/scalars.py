"""Which words of a recipe are numbers, booleans or null: the core schema of YAML 1.2.

PyYAML follows YAML 1.1, where `1e-4` is text, `no` is false, `1:30` is 90 and `2024-01-01` a date. All four surprise.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAX_DIGITS = 300

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def plain_scalar(text: str) -> Any:
    """Read an unquoted word. Raises ValueError, with the end of a sentence, for a number that is not finite."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return _float(text)
    return text


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"is a number of {len(text)} digits")
    if text.startswith(("0x", "0o")):
        return int(text, 0)
    return int(text)


def _float(text: str) -> float:
    if text.lower().endswith(("inf", "nan")):
        raise ValueError("is not a finite number")
    number = float(text.replace("_", ""))
    if not math.isfinite(number):
        raise ValueError("is too large for a number")
    return number


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("is not true or false")
    return text.lower() == "true"


def _tagged(convert: Callable[[str], Any], name: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return convert(text)
        except ValueError as error:
            raise ValueError(f"is not {name}") from error

    return read


TAGGED: dict[str, Callable[[str], Any]] = {
    "tag:yaml.org,2002:str": str,
    "tag:yaml.org,2002:int": _tagged(_integer, "a whole number"),
    "tag:yaml.org,2002:float": _tagged(_float, "a number"),
    "tag:yaml.org,2002:bool": _boolean,
    "tag:yaml.org,2002:null": lambda text: None,
}
"""What an explicit tag such as `!!str` makes of a word. No other tag is read: none of them can build an object."""
