"""`tunesmith doctor`: what it prints, and when it says that something is broken."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_report(tunesmith: Run, tmp_path: Path) -> None:
    shown = tunesmith("doctor").stdout
    for heading in ("Machine", "Packages", "Places", "What can be done here"):
        assert f"{heading}\n" in shown
    assert "yes recipe, registry" in shown
    assert list(tmp_path.iterdir()) == []  # looking makes nothing


def test_json(tunesmith: Run) -> None:
    answer = json.loads(tunesmith("doctor", "--json").stdout)
    assert answer["problems"] == []
    assert answer["machine"]["cores"] >= 1
    assert answer["machine"]["memory_bytes"] > 0
    assert answer["parts"]["core"]["complete"] is True
    assert {"train", "quant", "deepspeed", "serve", "track", "dev"} <= answer["parts"].keys()


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"TUNESMITH_HOME": "file"}, "is a file, not a folder; move it away, or set TUNESMITH_HOME"),
        ({"TUNESMITH_HOME": "/proc/none"}, "cannot be written to"),
        ({"TUNESMITH_DATABASE_URL": "sqlite:///file"}, "this file is not a SQLite database"),
        ({"TUNESMITH_DATABASE_URL": "postgresql://u:secret@127.0.0.1:9/d"}, "the database cannot be reached"),
        ({"TUNESMITH_DATABASE_URL": "mysql://u:secret@h/d"}, "databases of the kind 'mysql' are not supported"),
        ({"TUNESMITH_DATABASE_URL": "secret"}, "the database URL cannot be read"),
    ],
)
def test_what_the_core_needs_is_broken(tunesmith: Run, environment: dict[str, str], sentence: str) -> None:
    Path("file").write_text("not a database, but a text that is long enough to have a header\n" * 4)
    answer = tunesmith("doctor", exit_code=2, **environment)
    assert sentence in answer.stderr
    assert "secret" not in answer.stdout + answer.stderr
    assert json.loads(tunesmith("doctor", "--json", exit_code=2, **environment).stdout)["problems"]


def test_models(tunesmith: Run) -> None:
    assert "smollm2-135m-instruct" in tunesmith("doctor", "--models").stdout
    assert "smollm2-135m-instruct" in json.loads(tunesmith("doctor", "--models", "--json").stdout)
