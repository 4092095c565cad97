"""`tunesmith init`: from flags, from answers, over an existing file, for data of every format."""

from __future__ import annotations

import gzip
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith.recipe.load import load_recipe

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_without_any_flag(tunesmith: Run) -> None:
    Path("r.yaml").write_text(tunesmith("init", "--yes").stdout)
    recipe = load_recipe(Path("r.yaml")).recipe
    assert (recipe.data.train[0].type, recipe.model.source) == ("python-docstrings", "smollm2-135m-instruct")


def test_flags(tunesmith: Run) -> None:
    flags = ("--name", "mine", "--model", "a/b", "--data", "rows.jsonl", "--task", "classification", "--yes")
    answer = tunesmith("init", *flags, "--output", "r.yaml")
    assert answer.stdout == ""
    assert "note: rows.jsonl is not there yet" in answer.stderr
    assert answer.stderr.endswith("wrote r.yaml; next: tunesmith recipe show r.yaml\n")
    recipe = load_recipe(Path("r.yaml")).recipe
    assert (recipe.name, recipe.model.source, recipe.evaluate.gate.metric) == ("mine", "a/b", "label_f1")


def test_never_over_an_existing_file(tunesmith: Run) -> None:
    Path("r.yaml").write_text("mine")
    answer = tunesmith("init", "--yes", "--output", "r.yaml", exit_code=2)
    assert answer.stderr == "error: r.yaml: this file exists already\n  fix: choose another name, or say --force\n"
    assert Path("r.yaml").read_text() == "mine"
    tunesmith("init", "--yes", "--output", "r.yaml", "--force")
    load_recipe(Path("r.yaml"))
    assert list(Path().iterdir()) == [Path("r.yaml")]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            ("--name", "My Model"),
            "'My Model' cannot be a name: use lower-case letters, digits, dots, dashes, underscores",
        ),
        (("--data", ""), "an empty answer: give a word, or leave the flag out"),
        (("--task", "poetry"), "'poetry' is not one of 'generation', 'classification', 'json', 'chat'"),
        (("--output", "no/r.yaml"), "no: there is no such folder"),
        (("--output", "."), ".: this is a folder"),
    ],
)
def test_bad_flags(tunesmith: Run, flags: tuple[str, ...], sentence: str) -> None:
    assert sentence in tunesmith("init", "--yes", *flags, exit_code=2).stderr


ROWS = {
    "chat.jsonl": ('\n{"messages": [], "id": 1}\n', "chat", "chrf"),
    "sharegpt.json": ('[{"conversations": []}]', "sharegpt", "chrf"),
    "alpaca.json": ('[{"instruction": "a", "input": "", "output": "b"}]', "alpaca", "rougeL"),
    "pairs.jsonl": ('{"prompt": "a", "completion": "b"}\n', "prompt-completion", "rougeL"),
    "labels.csv": ("text,label\na,b\n", "text-label", "label_f1"),
    "strange.csv": ('question,"an\nswer"\n', "auto", "rougeL"),
    "broken.jsonl": ('{"prompt": \n', "auto", "rougeL"),
    "empty.csv": ("", "auto", "rougeL"),
    "binary.jsonl": ("\udcff\udcfe", "auto", "rougeL"),
    "unknown.parquet": ("PAR1", "auto", "rougeL"),
}


@pytest.mark.parametrize(
    ("name", "row", "row_format", "metric"), [(name, *rest) for name, rest in ROWS.items()], ids=ROWS
)
def test_format_of_the_first_row(tunesmith: Run, name: str, row: str, row_format: str, metric: str) -> None:
    Path(name).write_bytes(row.encode("utf-8", "surrogateescape"))
    tunesmith("init", "--yes", "--data", name, "--output", "r.yaml")
    recipe = load_recipe(Path("r.yaml")).recipe
    assert (recipe.data.format.type, recipe.evaluate.gate.metric) == (row_format, metric)


def test_columns_of_an_unknown_format_are_named(tunesmith: Run) -> None:
    Path("rows.jsonl").write_text('{"question": "a", "answer": "b"}\n')
    assert (
        "# The first row has the columns question, answer: no known format."
        in tunesmith("init", "--yes", "--data", "rows.jsonl").stdout
    )


def test_packed_file_and_pattern(tunesmith: Run) -> None:
    with gzip.open("a.jsonl.gz", "wt") as file:
        file.write('{"messages": []}\n')
    assert "format: chat" in tunesmith("init", "--yes", "--data", "*.jsonl.gz").stdout


def test_data_is_named_as_seen_from_the_recipe(tunesmith: Run) -> None:
    Path("jobs").mkdir()
    Path("rows.jsonl").write_text('{"messages": []}\n')
    tunesmith("init", "--yes", "--data", "rows.jsonl", "--output", "jobs/r.yaml")
    loaded = load_recipe(Path("jobs/r.yaml"))
    assert (loaded.folder / loaded.recipe.data.train[0].path).exists()  # type: ignore[union-attr]


def test_answers_at_a_terminal(program: list[str]) -> None:
    """A real terminal on stdin: questions and answers, while the recipe goes to a file."""
    controller, terminal = pty.openpty()
    Path("rows.jsonl").write_text('{"text": "a", "label": "b"}\n')
    os.write(controller, b"rows.jsonl\npoetry\n\nsome/model\nMy Name\nmine\n")
    done = subprocess.run(
        [*program, "init", "--output", "r.yaml"], stdin=terminal, capture_output=True, text=True, timeout=60
    )
    os.close(controller)
    os.close(terminal)
    assert done.returncode == 0, done.stderr
    assert "Error: 'poetry' is not one of generation, classification, json, chat" in done.stderr
    assert "Error: 'My Name' cannot be a name" in done.stderr
    recipe = load_recipe(Path("r.yaml")).recipe
    assert (recipe.name, recipe.model.source, recipe.data.format.type) == ("mine", "some/model", "text-label")
    assert recipe.evaluate.gate.metric == "label_f1"
