"""Answers that are kept: found again for the same run and champion, and made anew for any other."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tunesmith.data.example import Example, Message, Origin
from tunesmith.evaluate.answers import Answer, Contestant, TestRow
from tunesmith.monitor.retrain import contest
from tunesmith.monitor.retrain.contest import ANSWERS, answer


class Told:
    """A contest whose challenger and champion say which one they are; counts how often models were loaded."""

    loaded: list[str] = []  # noqa: RUF012

    def __init__(self, version: Any) -> None:
        self.who = "challenger" if version is None else version.reference
        self.loaded.append(self.who)

    def test_row(self, row: Example) -> TestRow:
        return TestRow("user: question", "right", None, "rows:1")

    def answer(self, name: str, mode: str, variant: Any, rows: list[Example]) -> Contestant:
        said = tuple(Answer(self.who, 1.0, 2, 5, True) for _ in rows)
        return Contestant(name, "tuned", name, said)

    def text_losses(self, which: str, texts: Any) -> list[tuple[float, int]]:
        return [(1.0, 1) for _ in texts]

    def likelihoods(self, which: str, rows: Any, mode: str = "") -> list[tuple[float, int]]:
        return [(1.0, 1) for _ in rows]


def planned(run: str) -> Any:
    section = SimpleNamespace(max_test_rows=5)
    dataset = SimpleNamespace(manifest={"split_seed": 0})
    return SimpleNamespace(
        recipe=SimpleNamespace(evaluate=section), dataset=dataset, run_id=run, artefact=Path("artefact")
    )


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    row = Example([Message(role="user", content="q"), Message(role="assistant", content="a")], Origin("rows", 1))
    monkeypatch.setattr(contest, "_read", lambda *given: [row])
    monkeypatch.setattr(contest, "_contest", lambda planned, version, *given: Told(version))
    Told.loaded = []
    return Told.loaded


def ask(folder: Path, run: str = "story-1", champion: str = "story@1", files: str = "hash") -> str:
    """Who answered for the champion."""
    version: Any = SimpleNamespace(reference=champion, content_hash=files)
    home: Any = None
    found = answer(planned(run), version, lambda: folder, home, folder, lambda what, done, total: None)
    assert found.new.champion is not None
    return found.new.champion.answers[0].text


def test_the_same_two_are_asked_once(tmp_path: Path, models: list[str]) -> None:
    assert ask(tmp_path) == ask(tmp_path) == "story@1"
    assert models == ["challenger", "story@1"]


@pytest.mark.parametrize("other", [{"run": "story-2"}, {"champion": "story@2"}, {"files": "other"}])
def test_answers_of_others_are_not_taken(tmp_path: Path, models: list[str], other: dict[str, str]) -> None:
    ask(tmp_path)
    assert ask(tmp_path, **other) == other.get("champion", "story@1")
    assert len(models) == 4


def test_a_damaged_file_is_made_anew(tmp_path: Path, models: list[str]) -> None:
    ask(tmp_path)
    (tmp_path / ANSWERS).write_bytes((tmp_path / ANSWERS).read_bytes()[:200])
    assert ask(tmp_path) == "story@1"
    assert len(models) == 4
