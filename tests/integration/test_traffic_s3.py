"""The traffic log in an object store, over HTTP, also over a link that breaks and to a store that is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.integration.flaky_link import FlakyLink
from tunesmith.errors import StoreError
from tunesmith.monitor.traffic.log import TrafficLog
from tunesmith.monitor.traffic.place import Place
from tunesmith.monitor.traffic.read import read_traffic
from tunesmith.monitor.traffic.rows import TrafficRow
from tunesmith.monitor.traffic.seen import Seen
from tunesmith.monitor.traffic.write import delete_old, put_together, write_traffic
from tunesmith.recipe.monitor import TrafficSection
from tunesmith.store.home import Home

NOW = datetime(2026, 11, 27, 6, 30, tzinfo=UTC)


@pytest.fixture
def link(s3_server: str) -> Iterator[FlakyLink]:
    port = urlsplit(s3_server).port
    assert port is not None
    with FlakyLink(port, share=0.5, seed=7) as made:
        yield made
    assert made.broken >= 2, "the link did not break"


def home_of(folder: Path, location: str) -> Home:
    return Home(folder / "home", f"sqlite:///{folder}/home/registry.db", location)


def row(number: int, at: datetime = NOW) -> TrafficRow:
    messages = json.dumps([{"role": "user", "content": f"question {number}"}])
    return TrafficRow(f"{number:032x}", at, "tiny", "tiny", "tiny@1", messages, answer=f"answer {number}")


def seen(number: int) -> Seen:
    noted = {"id": f"{number:032x}", "at": NOW.timestamp() + number, "model": "tiny", "version": "tiny@1",
             "role": "live", "status": 200}  # fmt: skip
    body = json.dumps({"messages": [{"role": "user", "content": "Hello"}]}).encode()
    return Seen("tiny", noted, "/v1/chat/completions", body, [b'{"choices": [{"message": {"content": "Hi"}}]}'])


def test_rows_are_written_read_put_together_and_deleted(s3_bucket: str, tmp_path: Path) -> None:
    home = home_of(tmp_path, f"s3://{s3_bucket}/team/artifacts")
    assert len(read_traffic(home, "tiny")) == 0
    place = Place(home)
    for number in range(3):
        write_traffic(home, [row(number, NOW - timedelta(hours=3)), row(10 + number, NOW - timedelta(days=40))])
    assert put_together(place, NOW) == 3
    assert len(place.files("tiny")) == 4 and len(read_traffic(home, "tiny")) == 6
    assert len(read_traffic(home, "tiny", since=NOW - timedelta(days=1))) == 3
    assert delete_old(place, 30, NOW) == 1
    assert len(place.files("tiny")) == 1 and len(read_traffic(home, "tiny")) == 3


def test_a_bucket_that_is_not_there_costs_nothing_until_it_is(s3_bucket: str, tmp_path: Path) -> None:
    home = home_of(tmp_path, "s3://tunesmith-none/artifacts")
    log = TrafficLog(home, TrafficSection())
    log.offer(seen(1))
    assert not log.flush()
    assert (log.written, log.lost) == (0, 0)
    with pytest.raises(StoreError):
        write_traffic(home, [row(1)])


def test_over_a_link_that_breaks_no_row_is_lost_or_doubled(
    link: FlakyLink, s3_bucket: str, s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(tmp_path, f"s3://{s3_bucket}/artifacts")
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", link.url)
        # Each with connections of its own: one that is open stays as it is.
        for gateway in range(12):
            log = TrafficLog(home, TrafficSection())
            for number in range(3):
                log.offer(seen(3 * gateway + number))
            assert any(log.flush() for _ in range(50))
            assert (log.written, log.lost) == (3, 0)
    found = read_traffic(home_of(tmp_path, f"s3://{s3_bucket}/artifacts"), "tiny")
    assert found["id"].to_pylist() == [f"{number:032x}" for number in range(36)]
