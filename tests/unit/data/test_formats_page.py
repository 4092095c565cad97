"""The examples on the page about data are true."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tunesmith.data.example import Example, Origin
from tunesmith.data.formats import FORMATS
from tunesmith.recipe.data import DataSection, FormatSection

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("section", re.findall(r"^```yaml\n(data:\n.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
def test_every_section_on_the_page_is_valid(section: str) -> None:
    DataSection.model_validate(yaml.safe_load(section)["data"])


@pytest.mark.parametrize("heading", ["chat", "sharegpt", "alpaca", "prompt-completion", "text-label"])
def test_every_row_on_the_page_is_read_as_it_says(heading: str) -> None:
    part = PAGE.partition(f"### `{heading}`")[2].partition("\n### ")[0]
    rows = re.findall(r"^```json\n(\{.*?\})\n```", part, re.DOTALL | re.MULTILINE)
    assert rows
    for row in map(json.loads, rows):
        assert [name for name, candidate in FORMATS.items() if candidate.detects(row.keys(), [row])] == [heading]
        assert isinstance(FORMATS[heading].convert(row, Origin("rows.jsonl", 1), FormatSection()), Example)
