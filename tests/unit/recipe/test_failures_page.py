"""The page about failures names settings that there are, with values that are taken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tunesmith.recipe.resources import ResourcesSection
from tunesmith.recipe.schema import Recipe
from tunesmith.recipe.train import TrainSection

PAGE = (Path(__file__).parents[3] / "docs" / "failures.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
BASE = {"name": "x", "model": {"source": "x"}, "data": {"train": "x.jsonl"}}


@pytest.mark.parametrize("block", BLOCKS)
def test_the_recipes_of_the_page_are_read(block: str) -> None:
    written = yaml.safe_load(block)
    recipe = Recipe.model_validate({**BASE, **written})
    for section, fields in written.items():
        for name, value in fields.items():
            kept = getattr(getattr(recipe, section), name)
            assert (kept.model_dump() if isinstance(value, dict) else kept) == value


def test_the_settings_of_the_page_exist() -> None:
    sections = {"train": TrainSection, "resources": ResourcesSection}
    named = re.findall(r"`(train|resources)\.([a-z_]+)`", PAGE)
    assert len(named) >= 7
    for section, name in named:
        assert name in sections[section].model_fields, f"{section}.{name}"
