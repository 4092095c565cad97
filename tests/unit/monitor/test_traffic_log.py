"""The traffic log: what is written, what is lost and counted, what never gets in the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunesmith.cli.review_sources import from_traffic_log
from tunesmith.errors import RegistryError, StoreError
from tunesmith.monitor.traffic.log import TrafficLog
from tunesmith.monitor.traffic.place import Place
from tunesmith.monitor.traffic.read import read_traffic
from tunesmith.monitor.traffic.rows import TrafficRow, schema
from tunesmith.monitor.traffic.seen import Seen
from tunesmith.monitor.traffic.write import delete_old, put_together, write_traffic
from tunesmith.recipe.monitor import TrafficSection
from tunesmith.store.home import Home, find_home

NOW = datetime(2026, 11, 27, 6, 30, tzinfo=UTC)
CHAT = "/v1/chat/completions"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", f"sqlite:///{tmp_path}/home/registry.db", str(tmp_path / "artifacts"))


def row(number: int, at: datetime = NOW, **values: Any) -> TrafficRow:
    messages = json.dumps([{"role": "user", "content": f"question {number}"}])
    common = {"id": f"{number:032x}", "at": at, "name": "tiny", "model": "tiny", "version": "tiny@1"}
    return TrafficRow(**{**common, "messages": messages, "answer": f"answer {number}", **values})


def seen(number: int, size: int = 10, **noted: Any) -> Seen:
    asked = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "x" * size}]}).encode()
    choice = {"index": 0, "message": {"content": f"answer {number}"}, "finish_reason": "stop"}
    answer = {"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
    common = {"id": f"{number:032x}", "at": NOW.timestamp() + number, "model": "tiny", "version": "tiny@1"}
    values = {**common, "role": "live", "status": 200, "tenant": "shop", "seconds": 0.5, "first_seconds": 0.1, **noted}
    return Seen("tiny", values, CHAT, asked, [json.dumps(answer).encode()])


def files(home: Home) -> list[str]:
    root = Path(home.artifacts) / "traffic"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_rows_come_back_as_they_were_written(home: Home) -> None:
    rows = [
        row(3, NOW - timedelta(hours=30), empty=False, truncated=None, prompt_tokens=5, seconds=0.25),
        row(2, NOW),
        row(1, NOW - timedelta(minutes=1), version="tiny@2", role="shadow", request_of="0" * 32),
    ]
    paths = write_traffic(home, rows)
    assert {path.rpartition("/")[0] for path in paths} == {
        "tiny/date=2026-11-26/hour=00", "tiny/date=2026-11-27/hour=06",
    }  # fmt: skip
    table = read_traffic(home, "tiny", roles=("live", "shadow"))
    assert [TrafficRow(**one) for one in table.to_pylist()] == [rows[0], rows[2], rows[1]]
    assert table.schema.names == schema().names


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({}, [1, 2, 3, 4]),
        ({"since": NOW}, [3, 4]),
        ({"until": NOW}, [1, 2]),
        ({"since": NOW - timedelta(hours=1), "until": NOW + timedelta(minutes=40)}, [2, 3]),
        ({"version": "tiny@2"}, [2]),
        ({"roles": ("shadow",)}, [5]),
        ({"roles": ()}, []),
        ({"since": (NOW + timedelta(minutes=30)).astimezone(None)}, [4]),
        ({"since": NOW + timedelta(days=9)}, []),
    ],
)
def test_reading_a_part(home: Home, asked: dict[str, Any], numbers: list[int]) -> None:
    rows = [row(1, NOW - timedelta(days=2)), row(2, NOW - timedelta(minutes=45), version="tiny@2"), row(3, NOW),
            row(4, NOW + timedelta(hours=1)), row(5, NOW, role="shadow")]  # fmt: skip
    write_traffic(home, rows)
    assert [int(one, 16) for one in read_traffic(home, "tiny", **asked)["id"].to_pylist()] == numbers


def test_of_some_columns_the_texts_are_not_read(home: Home) -> None:
    write_traffic(home, [row(2, NOW, refused=True), row(1, NOW - timedelta(minutes=1), answer="x" * 10_000_000)])
    table = read_traffic(home, "tiny", columns=("refused", "id"))
    assert table.column_names == ["refused", "id"] and table["refused"].to_pylist() == [None, True]
    before = pa.total_allocated_bytes()
    few = read_traffic(home, "tiny", version="tiny@1", columns=("seconds",))
    assert few.column_names == ["seconds"] and pa.total_allocated_bytes() - before < 1_000_000


def test_pairs_of_days_of_traffic_are_found_across_stretches(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", str(home.folder))
    now = datetime.now(UTC)
    rows = []
    for number in range(1, 40):
        at = now - timedelta(minutes=47 * number)
        rows += [row(number, at, messages=json.dumps([{"role": "user", "content": f"question {number}"}])),
                 row(1000 + number, at + timedelta(minutes=20), version="tiny@2", role="shadow",
                     request_of=f"{number:032x}")]  # fmt: skip
    write_traffic(find_home(), rows)
    spans = []

    def reading(*asked: Any, **more: Any) -> pa.Table:
        table = read_traffic(*asked, **more)
        spans.append((len(table), more["columns"]))
        return table

    monkeypatch.setattr("tunesmith.monitor.traffic.read.read_traffic", reading)
    assert {one.request for one in from_traffic_log("tiny", 2)} == {f"{number:032x}" for number in range(1, 40)}
    assert max(number for number, columns in spans if "answer" in columns) < 30, "of 78"


def test_a_name_never_written_is_empty_and_one_that_is_none_is_refused(home: Home) -> None:
    assert len(read_traffic(home, "tiny")) == 0
    for name in ("..", "../keys", "/etc", "a/b", "", "UPPER", "a\0b", "x" * 64, "date=1", ".hidden", "a\n"):
        with pytest.raises(RegistryError):
            read_traffic(home, name)
        with pytest.raises(RegistryError):
            write_traffic(home, [row(1, name=name)])
    assert files(home) == []


def test_an_older_file_with_fewer_columns_is_read(home: Home) -> None:
    path = Path(home.artifacts) / "traffic/tiny/date=2026-11-27/hour=06/old.parquet"
    path.parent.mkdir(parents=True)
    few = schema().empty_table().select(["id", "at", "name", "role", "messages"])
    pq.write_table(pa.Table.from_pylist([{"id": "1", "at": NOW, "name": "tiny", "role": "live", "messages": "[]"}],
                                        schema=few.schema), path)  # fmt: skip
    (found,) = read_traffic(home, "tiny").to_pylist()
    assert found["id"] == "1" and found["answer"] is None


def test_a_damaged_file_is_named(home: Home) -> None:
    write_traffic(home, [row(1)])
    (path,) = files(home)
    (Path(home.artifacts) / "traffic" / path).write_bytes(b"PAR1 and no more")
    with pytest.raises(StoreError, match=r"traffic/tiny/date=2026-11-27/hour=06/.*cannot be read"):
        read_traffic(home, "tiny")


def test_what_is_offered_is_written(home: Home) -> None:
    told: list[TrafficRow] = []
    log = TrafficLog(home, TrafficSection(), told.append)
    for number in range(5):
        log.offer(seen(number))
    assert log.pending > 0 and log.flush()
    assert (log.pending, log.written, log.lost, len(told)) == (0, 5, 0, 5)
    table = read_traffic(home, "tiny")
    assert table["answer"].to_pylist() == [f"answer {number}" for number in range(5)]
    assert table["answer_tokens"].to_pylist() == [3] * 5 and table["tenant"].to_pylist() == ["shop"] * 5


def test_the_thread_writes_by_itself_and_the_rest_when_it_ends(home: Home) -> None:
    log = TrafficLog(home, TrafficSection(), flush_seconds=0.1)
    log.start()
    log.offer(seen(1))
    deadline = time.monotonic() + 10
    while len(read_traffic(home, "tiny")) < 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(read_traffic(home, "tiny")) == 1
    log.offer(seen(2))
    log.close()
    assert len(read_traffic(home, "tiny")) == 2 and log.lost == 0


def test_blocked_storage_costs_rows_and_never_time(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    write = Place.write

    def blocked(self: Place, path: str, content: bytes) -> None:
        let_go.wait(30)
        write(self, path, content)

    monkeypatch.setattr(Place, "write", blocked)
    log = TrafficLog(home, TrafficSection(max_pending_mib=0.1), flush_seconds=0.0)
    log.start()
    began = time.perf_counter()
    for number in range(1000):
        log.offer(seen(number, 1000))
        assert log.pending <= 0.1 * 2**20
    assert time.perf_counter() - began < 1
    assert 900 < log.lost < 1000
    log.close(0.2)
    lost = log.lost
    assert lost == 1000
    let_go.set()


def test_storage_that_is_gone_and_comes_back(home: Home) -> None:
    blocker = Path(home.artifacts)
    blocker.write_text("a file where the folder should be")
    log = TrafficLog(home, TrafficSection())
    for number in range(3):
        log.offer(seen(number))
        assert not log.flush()
    assert (log.written, log.lost) == (0, 0) and log.pending > 0
    blocker.unlink()
    assert log.flush()
    assert (log.written, log.pending) == (3, 0)
    assert len(read_traffic(home, "tiny")) == 3 and len(files(home)) == 1


def test_a_write_that_fails_after_it_was_done_counts_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    write, failures = Place.write, iter((True, False))

    def fails(self: Place, path: str, content: bytes) -> None:
        write(self, path, content)
        if next(failures):
            raise StoreError("the answer of the store was lost")

    monkeypatch.setattr(Place, "write", fails)
    log = TrafficLog(home, TrafficSection())
    log.offer(seen(1))
    assert not log.flush()
    assert log.flush()
    assert len(read_traffic(home, "tiny")) == 1 and len(files(home)) == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"asked": b"no JSON"},
        {"asked": b'{"messages": 5}'},
        {"answered": [b"<html>"]},
        {"answered": [b"[]"]},
        {"name": "../../etc"},
        {"noted": {}},
    ],
)
def test_a_row_that_cannot_be_is_counted_and_the_others_are_written(home: Home, bad: dict[str, Any]) -> None:
    good = seen(1)
    values = {"name": good.name, "noted": good.noted, "path": CHAT, "asked": good.asked, "answered": good.answered}
    log = TrafficLog(home, TrafficSection())
    log.offer(Seen(**{**values, **bad}))
    log.offer(good)
    assert log.flush()
    assert (log.written, log.lost, log.pending) == (1, 1, 0)
    assert all(path.startswith("tiny/date=") for path in files(home))


def test_embeddings_and_token_ids_are_no_text(home: Home) -> None:
    good = seen(1)
    log = TrafficLog(home, TrafficSection())
    for body in (b'{"input": "x"}', b'{"prompt": [1, 2]}', b'{"prompt": ["a", "b"]}', b'{"prompt": "a text"}'):
        log.offer(Seen("tiny", good.noted, "/v1/completions", body, good.answered))
    assert log.flush()
    assert read_traffic(home, "tiny")["messages"].to_pylist() == ['[{"role":"user","content":"a text"}]']
    assert (log.written, log.lost, log.pending) == (1, 0, 0)


def test_the_rate_is_kept_and_a_request_is_always_in_or_always_out(home: Home) -> None:
    import random

    dice = random.Random(7)
    ids = [f"{dice.getrandbits(128):032x}" for _ in range(20_000)]
    log = TrafficLog(home, TrafficSection(rate=0.3))
    chosen = [one for one in ids if log.wants(one, None)]
    # Five standard deviations of a binomial.
    assert abs(len(chosen) - 6000) < 5 * (20_000 * 0.3 * 0.7) ** 0.5
    assert chosen == [one for one in ids if TrafficLog(home, TrafficSection(rate=0.3)).wants(one, None)]
    for rate, share in ((0.0, 0), (1.0, 20_000)):
        assert sum(TrafficLog(home, TrafficSection(rate=rate)).wants(one, None) for one in ids) == share


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, True),
        ("", True),
        ("0", True),
        (" 0 ", True),
        ("1", False),
        ("true", False),
        ("yes", False),
        (" 1", False),
    ],
)
def test_a_client_that_says_no_is_heard(home: Home, header: str | None, wanted: bool) -> None:
    assert TrafficLog(home, TrafficSection()).wants("f" * 32, header) is wanted


def test_old_days_go_and_nothing_else(home: Home) -> None:
    for days in (0, 2, 3, 4, 40):
        write_traffic(home, [row(days, NOW - timedelta(days=days))])
    strange = Path(home.artifacts) / "traffic" / "tiny" / "date=notes"
    strange.mkdir()
    (strange / "keep.txt").write_text("not the log's")
    assert delete_old(Place(home), 3, NOW) == 2
    assert [int(one, 16) for one in read_traffic(home, "tiny")["id"].to_pylist()] == [3, 2, 0]
    assert (strange / "keep.txt").exists()


def test_small_files_of_hours_that_are_over_become_one(home: Home) -> None:
    for number in range(6):
        write_traffic(home, [row(number, NOW - timedelta(hours=2)), row(10 + number, NOW)])
    before = read_traffic(home, "tiny")
    damaged = Path(home.artifacts) / "traffic/tiny/date=2026-11-27/hour=04/damaged.parquet"
    damaged.write_bytes(b"nothing")
    assert put_together(Place(home), NOW) == 6
    assert damaged.exists()
    damaged.unlink()
    hours = [path.split("/")[2] for path in files(home)]
    assert hours.count("hour=04") == 1 and hours.count("hour=06") == 6
    assert read_traffic(home, "tiny").sort_by("id").equals(before.sort_by("id"))
    assert put_together(Place(home), NOW) == 0


def test_a_gateway_that_dies_while_it_puts_files_together_loses_and_doubles_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        write_traffic(home, [row(number, NOW - timedelta(hours=2))])

    def dies(self: Place, path: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Place, "remove", dies)
        with pytest.raises(KeyboardInterrupt):
            put_together(Place(home), NOW)
    assert len(files(home)) == 4
    assert len(read_traffic(home, "tiny")) == 3
    assert put_together(Place(home), NOW) == 4
    assert len(files(home)) == 1 and pq.read_table(Path(home.artifacts) / "traffic" / files(home)[0]).num_rows == 3


def test_a_reader_meets_files_that_are_put_together(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        write_traffic(home, [row(number, NOW - timedelta(hours=2))])
    listed, times = Place.files, iter((True,))

    def then_gone(self: Place, path: str) -> dict[str, int]:
        found = listed(self, path)
        if next(times, False):
            put_together(Place(home), NOW)
        return found

    monkeypatch.setattr(Place, "files", then_gone)
    assert len(read_traffic(home, "tiny")) == 3


def test_only_one_gateway_tidies(home: Home) -> None:
    from filelock import FileLock

    write_traffic(home, [row(1, NOW - timedelta(days=99))])
    log = TrafficLog(home, TrafficSection())
    home.folder.mkdir()
    with FileLock(home.folder / ".traffic.lock"):
        log.tidy(NOW)
        assert len(files(home)) == 1
    log.tidy(NOW)
    assert files(home) == []


def test_tidying_where_storage_is_gone_is_said_and_no_error(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    write_traffic(home, [row(1, NOW - timedelta(days=99))])
    log = TrafficLog(home, TrafficSection())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Place, "remove", lambda self, path: (_ for _ in ()).throw(StoreError("the store is gone")))
        log.tidy(NOW)
    assert "old files stay for now: the store is gone" in caplog.text
    log.tidy(NOW)
    assert files(home) == []


KILLED = """
import sys
from tests.unit.monitor.test_traffic_log import row
from tunesmith.monitor.traffic.write import write_traffic
from tunesmith.store.home import Home
home = Home(sys.argv[1], "", sys.argv[2])
number = 0
while True:
    write_traffic(home, [row(number * 50 + one) for one in range(50)])
    number += 1
    print(number, flush=True)
"""


def test_a_writer_that_is_killed_leaves_whole_files_only(home: Home) -> None:
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(home.folder), home.artifacts], stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )  # fmt: skip
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    assert len(read_traffic(home, "tiny")) % 50 == 0 and len(read_traffic(home, "tiny")) >= 150
    shown = [path for path in files(home) if not path.rpartition("/")[2].startswith(".")]
    assert all(len(pq.read_table(Path(home.artifacts) / "traffic" / path)) == 50 for path in shown)
