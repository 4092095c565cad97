"""`tunesmith data audit` on recipes and data files: what it prints, writes and exits with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tunesmith.cli.data import command
from tunesmith.errors import DataError, GateFailed, TunesmithError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    return tmp_path


def write_rows(path: Path, *texts: str, broken: int = 0) -> None:
    rows = [json.dumps({"prompt": f"Question {text}?", "completion": f"Answer {text}."}) for text in texts]
    path.write_text("\n".join([*rows, *['{"prompt": "no answer"}'] * broken]) + "\n")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["audit", *arguments])


def test_a_good_file_passes(folder: Path) -> None:
    write_rows(folder / "rows.jsonl", "one", "two", "three")
    result = run("rows.jsonl")
    assert result.exit_code == 0, result.output
    assert "passed" in result.stdout and "Too few examples" in result.stdout
    assert not (folder / "home").exists() or not list((folder / "home" / "audit").glob("*"))


def test_json_is_all_of_stdout(folder: Path) -> None:
    write_rows(folder / "rows.jsonl", "one", "two", "two")
    report = json.loads(run("rows.jsonl", "--json").stdout)
    assert report["passed"] is True
    assert report["parts"][0]["num_examples"] == 3
    assert {finding["code"]: finding["count"] for finding in report["findings"]}["duplicates"] == 1


def test_malformed_rows_fail_the_gate_and_are_listed_beside_the_page(folder: Path) -> None:
    write_rows(folder / "rows.jsonl", "one", "two", broken=25)
    (folder / "out").mkdir()
    result = run("rows.jsonl", "--html", "out/audit.html")
    assert isinstance(result.exception, GateFailed) and result.exception.exit_code == 1
    assert str(result.exception).startswith("rows.jsonl: the audit refuses the data: malformed")
    assert "rows.jsonl:3" in result.stdout and "rows.jsonl:22" in result.stdout and "and 5 more" in result.stdout
    assert len((folder / "out" / "audit.malformed.jsonl").read_text().splitlines()) == 25
    assert "<svg" in (folder / "out" / "audit.html").read_text()


def test_a_recipe_with_its_own_test_rows_and_gate(folder: Path) -> None:
    write_rows(folder / "train.jsonl", "one", "two", "three")
    write_rows(folder / "test.jsonl", "two", "four")
    (folder / "recipe.yaml").write_text(
        "name: demo\nmodel: {source: ./none}\ndata: {train: train.jsonl, test: test.jsonl}\n"
    )
    result = run("recipe.yaml")
    assert isinstance(result.exception, GateFailed)
    assert "test.jsonl:1" in result.stdout
    assert run("recipe.yaml", "--set", "data.audit.fail_on=[]").exit_code == 0


@pytest.mark.parametrize("arguments", [["missing.jsonl"], ["missing.yaml"], ["rows.jsonl", "--html", "missing/a.html"]])
def test_what_is_not_there_is_said(arguments: list[str]) -> None:
    error = run(*arguments).exception
    assert isinstance(error, TunesmithError) and error.exit_code == 2
    assert "missing" in str(error)


def test_a_second_audit_replaces_the_listing(folder: Path) -> None:
    write_rows(folder / "rows.jsonl", "one", broken=2)
    run("rows.jsonl")
    listing = folder / "home" / "audit" / "rows.malformed.jsonl"
    assert len(listing.read_text().splitlines()) == 2
    write_rows(folder / "rows.jsonl", "one")
    run("rows.jsonl")
    assert not listing.exists()


def test_set_needs_a_recipe(folder: Path) -> None:
    write_rows(folder / "rows.jsonl", "one")
    result = run("rows.jsonl", "--set", "data.audit.fail_on=[]")
    assert result.exit_code == 2
    assert "--set changes fields of a recipe, and this is a data file" in result.output


def test_a_file_that_is_no_data_is_refused(folder: Path) -> None:
    (folder / "rows.bin").write_bytes(b"\x00\x01")
    assert isinstance(run("rows.bin").exception, DataError)
