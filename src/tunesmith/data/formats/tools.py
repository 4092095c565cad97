"""The tools a conversation may call, as JSON schemas."""

from __future__ import annotations

import json
from typing import Any

from tunesmith.data.formats.flaw import Flaw, kind

A_LIST = 'write a list such as [{"type": "function", "function": {"name": "...", "parameters": {...}}}]'


def read_tools(tools: Any) -> list[dict[str, Any]] | None:
    """Check a row's `tools`; None for an empty list. Raises `Flaw`.

    A string is read as JSON: Parquet and Arrow cannot hold schemas of different shapes in one column otherwise.
    """
    if isinstance(tools, str):
        try:
            tools = json.loads(tools) if tools.strip() else []
        except (ValueError, RecursionError):
            raise Flaw("'tools' is a string that is not JSON", A_LIST) from None
    if not isinstance(tools, list):
        raise Flaw(f"'tools' is {kind(tools)}, not a list", A_LIST)
    for number, tool in enumerate(tools, 1):
        if not isinstance(tool, dict):
            raise Flaw(f"tool {number} is {kind(tool)}, not an object", A_LIST)
        function = tool.get("function", tool)
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise Flaw(f"tool {number} has no name", A_LIST)
    return tools or None
