"""An object store behind a link that breaks: nothing that was said to be kept is lost, nothing is seen half-written.

Whatever is written through the broken link is looked at through a whole one after every attempt.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.integration.flaky_link import FlakyLink
from tunesmith.cluster.storage import Storage
from tunesmith.data.sources.files import read
from tunesmith.data.sources.row import Row
from tunesmith.errors import TunesmithError
from tunesmith.recipe.sources import FileSource
from tunesmith.store.files import FileStore
from tunesmith.train.places import objects, open_place

ROUNDS = 5


@pytest.fixture
def link(s3_server: str) -> Iterator[FlakyLink]:
    port = urlsplit(s3_server).port
    assert port is not None
    with FlakyLink(port, share=0.3, seed=7) as made:
        yield made
    assert made.broken >= 2, "the link did not break"


def until_it_works(work: Callable[[], None], look: Callable[[], None]) -> int:
    """Try until there is no error, which must be ours or the system's; how often it took."""
    for number in range(1, 60):
        try:
            work()
        except (TunesmithError, OSError):
            look()
            continue
        look()
        return number
    raise AssertionError("never")


def test_artefacts(link: FlakyLink, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = FileStore.open(f"s3://{s3_bucket}/artefacts")
    monkeypatch.setenv("AWS_ENDPOINT_URL", link.url)
    broken = FileStore.open(f"s3://{s3_bucket}/artefacts")
    kept: list[str] = []

    def look() -> None:
        listed = whole.list()
        assert set(kept) <= set(listed)
        for one in listed:
            whole.verify(one)

    for number in range(ROUNDS):
        folder = tmp_path / f"version-{number}"
        folder.mkdir()
        for name in ("a.bin", "b.bin"):
            (folder / name).write_bytes(random.Random(number).randbytes(30_000))
        until_it_works(lambda folder=folder: kept.append(broken.put(folder).content_hash), look)  # type: ignore[misc]
        back = tmp_path / f"back-{number}"

        def fetch(back: Path = back, folder: Path = folder) -> None:
            found = broken.fetch(kept[-1], back)
            assert (found / "a.bin").read_bytes() == (folder / "a.bin").read_bytes()

        until_it_works(fetch, look)
    assert len(set(kept)) == ROUNDS


def test_checkpoints(link: FlakyLink, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects.time, "sleep", lambda seconds: None)
    whole = open_place(tmp_path / "a", f"s3://{s3_bucket}/runs")
    monkeypatch.setenv("AWS_ENDPOINT_URL", link.url)
    broken = open_place(tmp_path / "a", f"s3://{s3_bucket}/runs")
    kept: list[int] = []

    def look() -> None:
        steps = whole.steps()
        assert set(kept) <= set(steps)
        for step in steps:
            _, files = whole.fetch(step, 0, 1)
            assert [path.read_bytes() for path in files] == [content(step)]
            whole.release()

    def content(step: int) -> bytes:
        return random.Random(step).randbytes(50_000)

    for step in range(1, ROUNDS + 1):

        def save(step: int = step) -> None:
            broken.write_part(step, "one", 0, lambda path: path.write_bytes(content(step)) and None)
            assert broken.commit(step, "one", 1, {"step": step}, threading.Event())
            kept.append(step)

        until_it_works(save, look)
    assert sorted(set(kept)) == list(range(1, ROUNDS + 1))


def test_results_of_jobs(link: FlakyLink, s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Storage(f"s3://{s3_bucket}/jobs")
    broken = Storage(f"s3://{s3_bucket}/jobs")
    written = [json.dumps({"turn": turn, "fill": "x" * 20_000}).encode() for turn in range(ROUNDS)]
    for turn, content in enumerate(written):

        def write(content: bytes = content) -> None:
            with pytest.MonkeyPatch.context() as own:
                own.setenv("AWS_ENDPOINT_URL", link.url)
                broken.write("result.json", content)

        def look(turn: int = turn) -> None:
            assert whole.read("result.json") in (written[turn], written[turn - 1] if turn else None)

        until_it_works(write, look)
        assert whole.read("result.json") == content


def test_rows(link: FlakyLink, s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row, or a sentence; never some of them."""
    lines = [json.dumps({"prompt": f"question {n}", "completion": "x" * 200}) for n in range(400)]
    Storage(f"s3://{s3_bucket}/data").write("rows.jsonl", "\n".join(lines).encode())
    monkeypatch.setenv("AWS_ENDPOINT_URL", link.url)
    whole = 0
    for _ in range(ROUNDS):
        try:
            rows = list(read(FileSource(path=f"s3://{s3_bucket}/data/rows.jsonl"), Path()))
        except TunesmithError:
            continue
        whole += 1
        assert len(rows) == 400 and all(isinstance(row, Row) for row in rows)
    assert whole > 0
