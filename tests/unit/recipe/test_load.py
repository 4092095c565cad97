"""Extends, overrides, the origin of each value, relative paths, numbers as people write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunesmith.errors import RecipeError
from tunesmith.recipe.load import LoadedRecipe, load_recipe
from tunesmith.recipe.sources import DatasetSource, FileSource

GOOD = "name: good\nmodel:\n  source: some/model\ndata:\n  train: rows.jsonl\n"


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(text: str, *overrides: str, name: str = "r.yaml") -> LoadedRecipe:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)
    return load_recipe(Path(name), overrides)


def paths(loaded: LoadedRecipe) -> list[str]:
    return [source.path for source in loaded.recipe.data.train if isinstance(source, FileSource | DatasetSource)]


@pytest.mark.parametrize(
    ("written", "value"),
    [("1e-4", 1e-4), ("1E-4", 1e-4), ("1.e-4", 1e-4), (".0001", 1e-4), ("+2e0", 2.0), ("1", 1.0), ("'1e-4'", 1e-4)],
)
def test_learning_rates(written: str, value: float) -> None:
    assert load(f"{GOOD}train: {{learning_rate: {written}}}\n").recipe.train.learning_rate == value
    assert load(GOOD, f"train.learning_rate={written}").recipe.train.learning_rate == value


@pytest.mark.parametrize(
    ("written", "text"),
    [("no", "no"), ("on", "on"), ("1:30", "1:30"), ("2024-01-01", "2024-01-01"), ("'0123'", "0123"), ("!!str 5", "5")],
)
def test_text_that_yaml_1_1_takes_for_something_else(written: str, text: str) -> None:
    assert load(f"{GOOD}  system: {written}\n").recipe.data.system == text


@pytest.mark.parametrize(("written", "value"), [("yes", True), ("off", False), ("True", True), ("!!bool false", False)])
def test_switches(written: str, value: bool) -> None:
    assert load(f"{GOOD}train: {{packing: {written}}}\n").recipe.train.packing is value


def test_numbers_with_underscores_and_in_hexadecimal() -> None:
    loaded = load(f"{GOOD}  ray_data_min_rows: 1_000_000\ntrain: {{seed: 0x10}}\n")
    assert (loaded.recipe.data.ray_data_min_rows, loaded.recipe.train.seed) == (1_000_000, 16)


def test_byte_order_mark_and_windows_lines() -> None:
    Path("r.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_recipe(Path("r.yaml")).origins["model.source"] == "r.yaml:3"


def test_aliases() -> None:
    loaded = load("name: &n good\nmodel: {source: *n}\ndata: {train: rows.jsonl}\n")
    assert loaded.recipe.model.source == "good"


def test_origins() -> None:
    Path("base.yaml").write_text("train:\n  learning_rate: 3e-4\n  epochs: 2\n  seed: 1\n")
    text = f"extends: base.yaml\n{GOOD}  format: chat\ntrain:\n  epochs: 3\n"
    origins = load(text, "train.seed=5", "evaluate.gate.margin=0.1").origins
    chosen = {
        "name": "r.yaml:2",
        "model.source": "r.yaml:4",
        "model.dtype": "default",
        "data.train.0.type": "default",
        "data.train.0.path": "r.yaml:6",
        "data.format.type": "r.yaml:7",
        "data.format.prompt": "default",
        "train.epochs": "r.yaml:9",
        "train.learning_rate": "base.yaml:2",
        "train.seed": "--set",
        "train.early_stopping": "default",
        "evaluate.gate.margin": "--set",
        "evaluate.gate.metric": "default",
        "tracking.mlflow": "default",
    }
    assert {field: origins[field] for field in chosen} == chosen


def test_every_leaf_has_an_origin() -> None:
    loaded = load(f"{GOOD}  test: [a.jsonl, {{type: python-docstrings}}]\ntracking: {{wandb: {{project: x}}}}\n")

    def leaves(value: Any, dotted: str) -> list[str]:
        if isinstance(value, dict):
            return [leaf for key, item in value.items() for leaf in leaves(item, f"{dotted}.{key}" if dotted else key)]
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return [leaf for number, item in enumerate(value) for leaf in leaves(item, f"{dotted}.{number}")]
        return [dotted]

    assert list(loaded.origins) == leaves(loaded.recipe.model_dump(mode="json"), "")
    assert loaded.origins["data.test.1.type"] == "r.yaml:6"
    assert loaded.origins["tracking.wandb.project"] == "r.yaml:7"


def test_origins_name_files_as_seen_from_the_recipe_wherever_it_is_read_from(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("base").mkdir()
    Path("base/model.yaml").write_text("model: {source: some/model}\n")
    text = "extends: ../base/model.yaml\nname: x\ndata: {train: rows.jsonl}\n"
    here = load(text, name="jobs/r.yaml")
    monkeypatch.chdir("jobs")
    there = load_recipe(Path("r.yaml"))
    assert here.origins == there.origins
    assert here.origins["model.source"] == "../base/model.yaml:1"
    assert (here.folder, here.path) == (there.folder, Path("jobs/r.yaml"))


def test_extends_merges_mappings_and_replaces_lists() -> None:
    Path("base.yaml").write_text(
        f"{GOOD}train: {{epochs: 2, seed: 7}}\n"
        "evaluate: {metrics: [bleu, chrf], gate: {metric: bleu, margin: 0.5}}\n"
    )
    recipe = load(
        "extends: base.yaml\ntrain: {epochs: 3}\nevaluate: {metrics: [rougeL], gate: {metric: rougeL}}\n"
    ).recipe
    assert (recipe.name, recipe.train.epochs, recipe.train.seed) == ("good", 3, 7)
    assert (recipe.evaluate.metrics, recipe.evaluate.gate.metric, recipe.evaluate.gate.margin) == (
        ("rougeL",),
        "rougeL",
        0.5,
    )


def test_another_type_of_source_replaces_what_it_extends() -> None:
    Path("base.yaml").write_text(GOOD.replace("rows.jsonl", "{type: python-docstrings, min_code_chars: 9}"))
    (source,) = load("extends: base.yaml\ndata: {train: {type: dataset, path: a/b}}\n").recipe.data.train
    assert source == DatasetSource(type="dataset", path="a/b")
    assert paths(load("extends: base.yaml\ndata: {train: other.jsonl}\n")) == ["other.jsonl"]


def test_null_takes_away_what_a_parent_set() -> None:
    Path("base.yaml").write_text(f"{GOOD}train: {{early_stopping: {{patience: 2}}}}\n")
    assert load("extends: base.yaml\ntrain: {early_stopping: null}\n").recipe.train.early_stopping is None


def test_three_generations_and_a_circle() -> None:
    Path("a.yaml").write_text(f"{GOOD}train: {{epochs: 1, seed: 1, warmup: 1}}\n")
    Path("b.yaml").write_text("extends: a.yaml\ntrain: {epochs: 2, seed: 2}\n")
    train = load("extends: b.yaml\ntrain: {epochs: 3}\n").recipe.train
    assert (train.epochs, train.seed, train.warmup) == (3, 2, 1)
    Path("a.yaml").write_text("extends: r.yaml\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(Path("r.yaml"))
    assert caught.value.what == "extends goes in a circle: r.yaml -> b.yaml -> a.yaml -> r.yaml"
    assert caught.value.where == "a.yaml:1"


def test_overrides_in_order_into_short_forms_lists_and_empty_sections() -> None:
    text = f"{GOOD}  test: [a.jsonl, b.jsonl]\ntrain:\n"
    loaded = load(
        text,
        "train.epochs=2",
        "train.epochs=3",
        "data.train.split=part",
        "data.train.0.file_format=csv",
        "data.test.1.path=/rows/c.jsonl",
        "data.format.type=chat",
        "evaluate.metrics=[bleu, chrf]",
        "evaluate.metrics.1=rougeL",
        "evaluate.gate={metric: bleu}",
    )
    recipe = loaded.recipe
    assert recipe.train.epochs == 3
    assert recipe.data.train == (FileSource(path="rows.jsonl", split="part", file_format="csv"),)
    assert recipe.data.test == (FileSource(path="a.jsonl"), FileSource(path="/rows/c.jsonl"))
    assert (recipe.data.format.type, recipe.evaluate.metrics, recipe.evaluate.gate.metric) == (
        "chat",
        ("bleu", "rougeL"),
        "bleu",
    )
    assert loaded.origins["data.train.0.path"] == "r.yaml:5"
    assert loaded.origins["data.train.0.split"] == "--set"
    assert loaded.origins["data.test.0.path"] == "r.yaml:6"
    assert loaded.origins["evaluate.metrics"] == "--set"


def test_an_override_may_hold_equals_signs() -> None:
    assert load(GOOD, 'data.system="a = b"').recipe.data.system == "a = b"


def test_paths_of_a_parent_start_at_the_parent() -> None:
    Path("base/models/mine").mkdir(parents=True)
    Path("base/b.yaml").write_text(
        "name: x\nmodel: {source: models/mine, chat_template: chat.jinja}\n"
        "data: {train: [rows/*.jsonl, {type: dataset, path: PolyAI/banking77}, s3://bucket/rows.parquet, /rows.csv]}\n"
    )
    loaded = load("extends: ../base/b.yaml\ndata: {test: test.jsonl}\n", name="jobs/r.yaml")
    assert loaded.recipe.model.source == "../base/models/mine"
    assert loaded.recipe.model.chat_template == "../base/chat.jinja"
    assert paths(loaded) == ["../base/rows/*.jsonl", "PolyAI/banking77", "s3://bucket/rows.parquet", "/rows.csv"]
    assert loaded.recipe.data.test == (FileSource(path="test.jsonl"),)
    assert (loaded.folder / loaded.recipe.model.source).resolve() == Path("base/models/mine").resolve()


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("meta/llama", "meta/llama"),
        ("smollm2-135m-instruct", "smollm2-135m-instruct"),
        ("model.gguf", "../base/model.gguf"),
        ("./mine", "../base/mine"),
        ("hf://meta/llama", "hf://meta/llama"),
    ],
)
def test_hub_ids_of_a_parent_stay(written: str, seen: str) -> None:
    Path("base").mkdir()
    Path("base/b.yaml").write_text(f"name: x\nmodel: {{source: '{written}'}}\ndata: {{train: r.jsonl}}\n")
    assert load("extends: ../base/b.yaml\n", name="jobs/r.yaml").recipe.model.source == seen


def test_a_parent_further_down_never_looks_like_a_hub_id() -> None:
    Path("base").mkdir()
    Path("base/b.yaml").write_text("model: {source: ./mine}\n")
    loaded = load("extends: base/b.yaml\nname: x\ndata: {train: r.jsonl}\n")
    assert loaded.recipe.model.source == "./base/mine"


def test_paths_on_the_command_line_start_where_it_was_given() -> None:
    loaded = load(GOOD, "data.train=mine.jsonl", name="jobs/r.yaml")
    assert paths(loaded) == ["../mine.jsonl"]


def test_a_folder_reached_through_a_link() -> None:
    Path("far/jobs").mkdir(parents=True)
    Path("far/base.yaml").write_text("model: {source: ./mine}\n")
    Path("jobs").symlink_to("far/jobs")
    loaded = load("extends: ../far/base.yaml\nname: x\ndata: {train: r.jsonl}\n", name="jobs/r.yaml")
    assert (loaded.folder / loaded.recipe.model.source).resolve() == Path("far/mine").resolve()
