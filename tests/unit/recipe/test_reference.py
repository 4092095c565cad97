"""The JSON schema and the reference in the documentation say what the models say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from tunesmith.recipe.draft import DOCSTRINGS, TASKS, Answers, Task, draft_recipe
from tunesmith.recipe.fields import walk
from tunesmith.recipe.json_schema import recipe_json_schema
from tunesmith.recipe.load import load_recipe
from tunesmith.recipe.reference import BEGIN, END, reference_markdown
from tunesmith.recipe.schema import Recipe

ROOT = Path(__file__).parents[3]
NEEDED: dict[str, Any] = {"name": "x", "model": {"source": "some/model"}, "data": {"train": "rows.jsonl"}}

RIGHT = {
    "small": NEEDED,
    "list of sources": NEEDED | {"data": {"train": ["a", {"path": "b"}, {"type": "python-docstrings"}], "test": None}},
    "one source": NEEDED | {"data": {"train": {"type": "dataset", "path": "a/b"}, "format": "chat"}},
    "format in full": NEEDED
    | {"data": {"train": "a", "format": {"type": "columns", "prompt": "p", "completion": "c"}}},
    "extends": {"extends": "base.yaml", "model": {"dtype": "float32"}, "data": {"overlong": "drop"}},
}
WRONG = {
    "nothing": {},
    "no source": NEEDED | {"model": {}},
    "no rows": NEEDED | {"data": {"train": []}},
    "number": NEEDED | {"data": {"train": 5}},
    "typo": NEEDED | {"trian": {}},
    "typo below": NEEDED | {"train": {"epoch": 1}},
    "bounds": NEEDED | {"train": {"learning_rate": 0}},
    "source": NEEDED | {"data": {"train": {"type": "python-docstrings", "path": "x"}}},
    "extends a list": {"extends": ["a.yaml"]},
}


def test_schema_is_a_schema() -> None:
    jsonschema_rs.meta.validate(recipe_json_schema())
    assert recipe_json_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("recipe", RIGHT.values(), ids=RIGHT)
def test_schema_accepts(recipe: dict[str, Any]) -> None:
    jsonschema_rs.validate(recipe_json_schema(), recipe)


@pytest.mark.parametrize("recipe", WRONG.values(), ids=WRONG)
def test_schema_refuses(recipe: dict[str, Any]) -> None:
    assert not jsonschema_rs.is_valid(recipe_json_schema(), recipe)


def test_every_field_is_documented() -> None:
    for name, _, fields in walk(Recipe):
        for field in fields:
            assert field.documentation, f"{name}.{field.name}"
            assert "a value" not in field.values, f"{name}.{field.name}: {field.values}"


def test_every_field_is_in_the_reference() -> None:
    """As a row of a table, or as a section with a heading of its own."""
    reference = reference_markdown()
    for part in recipe_json_schema()["$defs"].values():
        for name in part["properties"]:
            assert re.search(rf"^\| `{name}` \||^### `([a-z_.]+\.)?{name}`$", reference, re.MULTILINE), name


def test_reference_in_the_documentation_is_this_one() -> None:
    page = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")
    written = page[page.index(BEGIN) : page.index(END) + len(END)] + "\n"
    assert written == reference_markdown(), "write it again: tunesmith recipe schema --markdown"


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("data", [DOCSTRINGS, "rows.jsonl", "a: b # c.jsonl", "s3://bucket/x.parquet"])
def test_drafts_load_and_fit_the_schema(task: Task, data: str, tmp_path: Path) -> None:
    text = draft_recipe(Answers("x", "some/model", data, task, "auto", ("a: b", "c\n")))
    path = tmp_path / "r.yaml"
    path.write_text(text)
    recipe = load_recipe(path).recipe
    assert recipe.evaluate.gate.metric == TASKS[task].gate
    assert recipe.data.train[0].type == (DOCSTRINGS if data == DOCSTRINGS else "file")
    assert data in (DOCSTRINGS, getattr(recipe.data.train[0], "path", None))
    jsonschema_rs.validate(recipe_json_schema(), yaml.safe_load(text.replace("2e-4", "0.0002")))


@pytest.mark.parametrize("path", sorted((ROOT / "jobs").glob("*.yaml")), ids=lambda path: path.name)
def test_recipes_of_the_repository_load_and_fit_the_schema(path: Path) -> None:
    load_recipe(path)
