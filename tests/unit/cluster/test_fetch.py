"""What cannot be fetched: each has a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith.cluster.fetch import fetch
from tunesmith.cluster.job import RESULT
from tunesmith.cluster.storage import JOBS, Storage
from tunesmith.cluster.targets import TargetError
from tunesmith.store.home import Home


@pytest.mark.parametrize(
    ("id", "result", "sentence"),
    [
        ("tiny-1", None, "there is no result of tiny-1"),
        ("tiny-1", {"id": "tiny-1", "exit_code": 2, "problem": "no rows"}, "the job could not finish: no rows"),
        ("tiny-1", {"id": "tiny-1", "exit_code": 0, "__class__": "os"}, r"jobs/tiny-1/result\.json is damaged"),
        ("tiny-1", {"id": "big-2", "exit_code": 0, "version": {"name": "tiny"}}, "the result is another job's"),
        ("tiny-1", {"id": "tiny-1", "exit_code": 0, "version": {"name": "bot"}}, "the result is another job's"),
        ("tiny-1", {"id": "tiny-1", "exit_code": 0, "version": "x"}, r"result\.json is damaged"),
        ("tiny-1", [], r"result\.json is damaged"),
        ("../../etc", None, r"'\.\./\.\./etc' is no job"),
        ("..", None, r"'\.\.' is no job"),
    ],
)
def test_what_cannot_be_fetched(tmp_path: Path, id: str, result: object, sentence: str) -> None:
    storage = Storage(str(tmp_path / "storage"))
    if result is not None:
        storage.write(f"{JOBS}/{id}/{RESULT}", json.dumps(result).encode())
    with pytest.raises(TargetError, match=sentence):
        fetch(id, storage, Home(tmp_path / "home", f"sqlite:///{tmp_path}/home/x.db", str(tmp_path / "home")))
    assert not (tmp_path / "home").exists()
