"""`tunesmith data prepare` and `show`, and the audit of a recipe whose tokenizer is at hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.unit.data.chat_models import tokenizer
from tests.unit.data.prepared import write_rows

Run = Callable[..., CompletedProcess[str]]

RECIPE = """\
name: demo
model: {source: ./tiny}
data:
  train: rows.jsonl
  audit: {fail_on: [malformed]}
train: {sequence_length: 512}
"""


@pytest.fixture
def folder(tmp_path: Path, tunesmith: Run) -> Path:
    """A recipe, its rows, and a model folder of which only the tokenizer is real."""
    model = tmp_path / "tiny"
    tokenizer("chatml").save_pretrained(model)
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"")
    write_rows(tmp_path / "rows.jsonl", 60)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def test_prepare_prints_the_parts_and_where_they_lie(tunesmith: Run, folder: Path) -> None:
    made = tunesmith("data", "prepare", "recipe.yaml")
    lines = made.stdout.splitlines()
    assert lines[0].split() == ["part", "examples", "rows", "tokens", "learnt", "full"]
    assert [line.split()[:2] for line in lines[1:4]] == [["train", "48"], ["validation", "6"], ["test", "6"]]
    (version,) = (folder / ".tunesmith" / "datasets").iterdir()
    assert f"version {version.name}: {version}" in made.stdout.replace("\n", "")
    assert "next: tunesmith data show recipe.yaml" in made.stdout
    manifest = json.loads((version / "manifest.json").read_text())
    full = manifest["parts"]["train"]["tokens"] / (manifest["parts"]["train"]["rows"] * 512)
    assert lines[1].split()[-1] == f"{full:.1%}" and full > 0.8


def test_prepare_as_json_is_the_manifest(tunesmith: Run, folder: Path) -> None:
    printed = json.loads(tunesmith("data", "prepare", "recipe.yaml", "--json").stdout)
    assert printed["parts"]["train"]["examples"] == 48
    assert json.loads(Path(printed.pop("folder"), "manifest.json").read_text()) == printed


def test_what_was_left_out_is_said(tunesmith: Run, folder: Path) -> None:
    long = {"messages": [{"role": "user", "content": "card " * 2000}, {"role": "assistant", "content": "x"}]}
    with (folder / "rows.jsonl").open("a") as file:
        file.write(f"not json\n{json.dumps(long)}\n")
    settings = ("data.overlong=drop", "data.max_train_examples=10", "data.audit.fail_on=[]")
    made = tunesmith("data", "prepare", "recipe.yaml", *(part for one in settings for part in ("--set", one)))
    assert "malformed rows, left out: 1 (see malformed.jsonl)" in made.stdout
    assert "longer than train.sequence_length, left out: 1" in made.stdout
    assert "beyond data.max_train_examples, not used: 38" in made.stdout
    assert "malformed 1" in made.stdout


def test_show_marks_what_is_learnt(tunesmith: Run, folder: Path) -> None:
    printed = tunesmith("data", "show", "recipe.yaml", "--rows", "1").stdout
    lines = (folder / "rows.jsonl").read_text().splitlines()
    rows = json.loads(tunesmith("data", "show", "recipe.yaml", "--rows", "1", "--json").stdout)
    assert printed.startswith(f"train row 0 · {rows[0]['num_tokens']} tokens, {rows[0]['num_labels']} learnt")
    for document in rows[0]["documents"]:
        messages = json.loads(lines[int(document["where"].partition(":")[2]) - 1])["messages"]
        learnt = [(piece["text"], piece["weight"]) for piece in document["pieces"] if piece["weight"]]
        answers = [message for message in messages if message["role"] == "assistant"]
        assert learnt == [(f"{answer['content']}<|im_end|>", answer.get("weight", 1.0)) for answer in answers]
        assert document["num_tokens"] == sum(piece["num_tokens"] for piece in document["pieces"])
        for text, weight in learnt:
            assert f"⟦{text}⟧{'' if weight == 1 else '×0.5'}" in printed
        for message in messages:
            assert message["role"] == "assistant" or f"⟦{message['content']}" not in printed


def test_show_starts_where_it_is_told_and_ends_with_the_rows(tunesmith: Run, folder: Path) -> None:
    whole = json.loads(tunesmith("data", "show", "recipe.yaml", "--rows", "999", "--json").stdout)
    some = json.loads(tunesmith("data", "show", "recipe.yaml", "--rows", "2", "--start", "3", "--json").stdout)
    assert some == whole[3:5] and [row["number"] for row in some] == [3, 4]
    there = len(whole)
    refused = tunesmith("data", "show", "recipe.yaml", "--start", str(there), exit_code=2)
    assert refused.stderr == f"error: --start: train has {there} packed rows\n  fix: give a number below {there}\n"
    assert len({document["where"] for row in whole for document in row["documents"]}) == 48


def test_what_rows_say_cannot_move_the_cursor(tunesmith: Run, folder: Path) -> None:
    question, answer = "a\x1b[2Jb [red]c[/red] \u202eevil", "\x07[bold]d"
    hostile = {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
    (folder / "rows.jsonl").write_text((json.dumps(hostile) + "\n") * 4)
    changes = ("--set", "data.split.validation=0", "--set", "data.split.test=0")
    printed = tunesmith("data", "show", "recipe.yaml", *changes).stdout
    assert "a\\x1b[2Jb [red]c[/red] \\u202eevil" in printed and "⟦\\x07[bold]d<|im_end|>⟧" in printed
    assert not {"\x1b", "\x07", "\u202e"} & set(printed)


def test_in_colour_there_are_no_marks(folder: Path) -> None:
    from io import StringIO

    from rich.console import Console

    from tunesmith.cli.data_tables import row_text
    from tunesmith.data.show import ShownDocument, ShownPiece, ShownRow

    pieces = (ShownPiece("ask ", 1, 0.0), ShownPiece("learn", 1, 1.0), ShownPiece("half", 1, 0.5))
    text = row_text(ShownRow(0, 3, 2, (ShownDocument("rows.jsonl:1", 3, pieces),)), "train", coloured=True)
    screen = StringIO()
    Console(file=screen, force_terminal=True, color_system="standard").print(text)
    assert "\x1b[2mask \x1b[0m\x1b[1;32mlearn\x1b[0m\x1b[1;33mhalf×0.5\x1b[0m" in screen.getvalue()


def test_the_audit_of_a_recipe_counts_tokens(tunesmith: Run, folder: Path) -> None:
    command = ("data", "audit", "recipe.yaml", "--json", "--set", "train.sequence_length=200")
    report = json.loads(tunesmith(*command).stdout)
    (overlong,) = [finding for finding in report["findings"] if finding["code"] == "overlong"]
    changes = ("--set", "train.sequence_length=200", "--set", "data.overlong=truncate")
    prepared = json.loads(tunesmith("data", "prepare", "recipe.yaml", "--json", *changes).stdout)
    assert overlong["count"] == prepared["overlong"]["rows"] > 0
    assert report["parts"][0]["tokens"]["longest"] > 200


def test_the_audit_of_a_recipe_without_its_model_says_what_it_leaves_out(tunesmith: Run, folder: Path) -> None:
    for source, why in (
        ("./nowhere", "there is no model at './nowhere'"),
        ("s3://bucket/model", "'s3://bucket/model' would have to be fetched"),
    ):
        (folder / "recipe.yaml").write_text(RECIPE.replace("./tiny", source))
        made = tunesmith("data", "audit", "recipe.yaml", "--json")
        assert json.loads(made.stdout)["parts"][0]["tokens"] is None
        assert f"overlong rows are not counted: {why}\n" in made.stderr
