"""`tunesmith submit --retrain` as it is typed: what does not go together, and what cannot be sent from here."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
RECIPE = "name: tiny\nmodel: {source: smollm2-135m-instruct}\ndata: {train: rows.jsonl}\n"


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--watch",), "--watch goes with --retrain"),
        (("--now", "a wish"), "--now goes with --retrain"),
        (("--retrain", "--again"), "--again is for a run"),
        (("--retrain", "--yes"), "--yes is for a run"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(tunesmith: Run, options: tuple[str, ...], what: str) -> None:
    assert what in tunesmith("submit", "recipe.yaml", *options, exit_code=2).stderr


def test_a_registry_on_this_disk_cannot_be_retrained_elsewhere(tunesmith: Run, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    to = ("--address", "http://127.0.0.1:9", "--storage", str(tmp_path / "storage"), "--retrain")
    at_s3 = {"TUNESMITH_ARTIFACTS": "s3://bucket/registry"}
    said = tunesmith("submit", "recipe.yaml", *to, exit_code=2, **at_s3).stderr
    assert "the registry is a file of this machine" in said and "TUNESMITH_DATABASE_URL" in said
    said = tunesmith("submit", "recipe.yaml", *to, exit_code=2).stderr
    assert "versions and the traffic log lie on this machine" in said and "TUNESMITH_ARTIFACTS=s3://" in said
    assert not (tmp_path / ".tunesmith").exists() and not (tmp_path / "storage").exists()
