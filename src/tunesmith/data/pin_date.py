"""A chat template that writes the day of today, made to write the day that the training data was rendered with."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tunesmith.data.template import TODAY

CALL = re.compile(r"""strftime_now\(\s*(?:format\s*=\s*)?(?P<quote>["'])(?P<format>.*?)(?P=quote)\s*\)""")


def pin_date(source: str) -> str:
    """The template with `strftime_now` as a macro of its own that knows that day in every format it asks for.

    A server renders with the clock; tokens would then be others than the adapter has learnt. A template that asks for
    no date comes back as it is.
    """
    formats = list(dict.fromkeys(match["format"] for match in CALL.finditer(source)))
    if not formats:
        return source
    cases = "".join(
        f"{{%- {'if' if number == 0 else 'elif'} format == {json.dumps(one)} -%}}{TODAY.strftime(one)}"
        for number, one in enumerate(formats)
    )
    return f"{{%- macro strftime_now(format) -%}}{cases}{{%- endif -%}}{{%- endmacro -%}}\n{{#- -#}}{source}"


def template_of(folder: Path) -> str | None:
    """The chat template that lies in a model's folder, None where there is none or several."""
    if (file := folder / "chat_template.jinja").is_file():
        return file.read_text(encoding="utf-8")
    try:
        found = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")).get("chat_template")
    except (OSError, ValueError):
        return None
    return found if isinstance(found, str) else None
