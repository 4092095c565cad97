"""What is written reads back as the same recipe."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.recipe.dump import dump_lines, dump_recipe, flow
from tunesmith.recipe.load import load_recipe
from tunesmith.recipe.place import Place
from tunesmith.recipe.read import read_override
from tunesmith.recipe.schema import Recipe

SMALL: dict[str, Any] = {"name": "x", "model": {"source": "some/model"}, "data": {"train": "rows.jsonl"}}


def back(recipe: Recipe, defaults: bool) -> Recipe:
    with TemporaryDirectory() as folder:
        path = Path(folder, "r.yaml")
        path.write_text(dump_recipe(recipe, defaults=defaults), encoding="utf-8")
        return load_recipe(path).recipe


def test_only_what_differs_from_the_defaults() -> None:
    recipe = Recipe.model_validate(SMALL | {"train": {"epochs": 2, "seed": 0}})
    assert dump_recipe(recipe) == (
        "name: x\nmodel:\n  source: some/model\ndata:\n  train:\n    - path: rows.jsonl\ntrain:\n  epochs: 2.0\n"
    )


@pytest.mark.parametrize("defaults", [False, True])
def test_every_kind_of_value(defaults: bool) -> None:
    recipe = Recipe.model_validate(
        SMALL
        | {
            "data": {
                "train": [
                    "a.jsonl",
                    {"type": "python-docstrings"},
                    {"type": "dataset", "path": "a/b", "revision": "12e3"},
                ],
                "format": {"type": "columns", "prompt": "Sum up.\n\n{code}\n", "completion": "{summary}"},
                "system": "Be brief.\n  Be kind.",
            },
            "train": {
                "learning_rate": 1e-5,
                "batch_tokens": 4096,
                "betas": [0.9, 0.95],
                "early_stopping": {"patience": 1},
            },
            "evaluate": {
                "json_schema": {
                    "type": "object",
                    "properties": {"no": {"enum": [None, True, 1.5, "1.5", "a: b"]}},
                    "x": {},
                },
                "decoding": {"stop": ["\n", "}", "- x", "é", "\u2028"]},
            },
            "tracking": {"mlflow": {"tracking_uri": "http://localhost:5000"}},
        }
    )
    assert back(recipe, defaults) == recipe


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(text=TEXTS, key=TEXTS.filter(bool))
@settings(max_examples=400, deadline=None)
def test_any_text_on_one_line(text: str, key: str) -> None:
    written = flow({key: [text, {"x": text}]})
    wanted = {key: [text, {"x": text}]}
    assert read_override(written, Place(None)).plain() == wanted
    # And for a reader of YAML 1.1, which takes more words for something else.
    assert yaml.safe_load(written) == wanted


@given(text=TEXTS)
@settings(max_examples=50, deadline=None)
def test_any_text(text: str) -> None:
    recipe = Recipe.model_validate(SMALL | {"data": {"train": "r", "system": text}})
    assert back(recipe, False) == recipe


@given(lines=st.lists(st.text("a :#-\"'\t", max_size=5), max_size=4))
@settings(max_examples=100, deadline=None)
def test_any_lines(lines: list[str]) -> None:
    recipe = Recipe.model_validate(SMALL | {"data": {"train": "r", "system": "\n".join(lines)}})
    assert back(recipe, False) == recipe


@settings(max_examples=50, deadline=None)
@given(number=st.floats(min_value=1e-300, allow_nan=False, allow_infinity=False))
def test_any_number(number: float) -> None:
    recipe = Recipe.model_validate(SMALL | {"train": {"learning_rate": number}})
    assert back(recipe, True).train.learning_rate == number


def test_each_value_line_names_its_field() -> None:
    lines = dump_lines(Recipe.model_validate(SMALL), defaults=True)
    fields = {line.field: line.text.strip() for line in lines if line.field}
    assert fields["data.train.0.path"] == "path: rows.jsonl"
    assert fields["data.train.0.type"] == "- type: file"
    assert fields["train.learning_rate"] == "learning_rate: 0.0002"
