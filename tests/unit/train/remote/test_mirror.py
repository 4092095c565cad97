"""A worker's folder and the driver's are kept alike, in order, over a link that is lost, against hostile names."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.train import tiny
from tunesmith.errors import DataError, ModelError, TrainError
from tunesmith.recipe.resources import ResourcesSection
from tunesmith.recipe.train import TrainSection
from tunesmith.train import attempts
from tunesmith.train.attempts import Attempts
from tunesmith.train.job import ERROR, RESIZE, RESULT, STOP, TrainJob
from tunesmith.train.remote import desk as desks
from tunesmith.train.remote import mirror as mirrors
from tunesmith.train.remote.desk import Desk
from tunesmith.train.remote.fetch import NODE_FOLDER
from tunesmith.train.remote.mirror import Mirror
from tunesmith.train.remote.terms import LinkLost
from tunesmith.train.sinks import METRICS

NEVER = 3600.0
BUCKET = {"checkpoints": "s3://bucket/runs"}


class Wire:
    """Calls of a real desk, each of them noted; `broken` says what happens to the next ones."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.calls = desk, []
        self.broken: list[str] = []

    def call(self, method: str, *arguments: Any) -> Any:
        self.calls.append((method, arguments))
        fate = self.broken.pop(0) if self.broken else "whole"
        if fate == "before":
            raise LinkLost("no way there")
        answer = getattr(self.desk, method)(*arguments)
        if fate == "after":
            raise LinkLost("no way back")
        return answer


@pytest.fixture
def job(tmp_path: Path, tiny_model: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> TrainJob:
    monkeypatch.setenv(NODE_FOLDER, str(tmp_path / "node"))
    made: TrainJob = tiny.make_job(tmp_path / "driver" / "run", tiny_model, tiny_dataset, resources=BUCKET)
    return made


@pytest.fixture
def wire(job: TrainJob) -> Wire:
    return Wire(Desk(job.run_folder, job.dataset_folder, job.model_folder))


@pytest.fixture
def first(job: TrainJob, wire: Wire) -> Iterator[Mirror]:
    """The first worker's side; nothing is brought but by `sync`."""
    with Mirror(job, 0, wire, NEVER) as mirror:
        yield mirror


def begin(mirror: Mirror) -> Attempts:
    record = attempts.begin(mirror.job.folder, 0, ResourcesSection(), TrainSection())
    mirror.sync()
    return record


def say(mirror: Mirror, text: str) -> None:
    with (mirror.job.folder / METRICS).open("a") as file:
        file.write(text)


def metrics(job: TrainJob) -> str:
    return (job.folder / METRICS).read_text()


def test_lines_arrive_once_and_whole_whatever_the_link_does(job: TrainJob, wire: Wire, first: Mirror) -> None:
    (job.folder / METRICS).write_text('{"event": "step", "step": 1}\n{"event": "st')  # a worker died in the middle
    with Mirror(job, 0, wire, NEVER) as mirror:
        begin(mirror)
        say(mirror, "one\ntw")
        wire.broken = ["before"]
        with pytest.raises(LinkLost):
            mirror.sync()
        mirror.sync()
        say(mirror, "o\nthree\n")
        wire.broken = ["after"]
        with pytest.raises(LinkLost):
            mirror.sync()
        say(mirror, "four\n")
        mirror.sync()
        mirror.sync()
    assert metrics(job).splitlines()[1:] == ['{"event": "st', "one", "two", "three", "four"]


def test_what_is_unchanged_is_not_sent_again(job: TrainJob, wire: Wire, first: Mirror) -> None:
    begin(first)
    say(first, "one\n")
    first.sync()
    first.sync()
    _, (rank, _, _, files, lines) = wire.calls[-1]
    assert (rank, files, lines) == (0, {}, None)


def test_the_driver_hears_of_a_result_after_all_else(job: TrainJob, wire: Wire, first: Mirror) -> None:
    """Each file as it is moved to its place: what was there before it?"""
    begin(first)
    say(first, "last\n")
    seen: dict[str, bool] = {}
    whole = desks.write_whole

    def noting(path: Path, content: bytes) -> None:
        seen[path.name] = (job.folder / METRICS).is_file() and (job.folder / "workers" / "00000.json").is_file()
        whole(path, content)

    (first.job.folder / "workers" / "00000.json").write_text("{}")
    (first.job.folder / RESULT).write_text("{}")
    desks.write_whole = noting
    try:
        first.sync()
    finally:
        desks.write_whole = whole
    assert seen == {RESULT: True}
    (first.job.folder / "workers" / "00000.json").unlink()
    first.sync()
    assert not list((job.folder / "workers").iterdir())


def test_wishes_arrive_and_are_taken_back(job: TrainJob, wire: Wire, first: Mirror) -> None:
    for name in (STOP, RESIZE):
        (job.folder / name).touch()
    first.sync()
    assert (first.job.folder / STOP).exists() and (first.job.folder / RESIZE).exists()
    (first.job.folder / RESIZE).unlink()  # as the loop does when it has left for it
    (job.folder / STOP).unlink()
    first.sync()
    assert not (job.folder / RESIZE).exists()
    assert not (first.job.folder / STOP).exists()


def test_the_thread_brings_signs_and_wishes_by_itself(job: TrainJob, wire: Wire) -> None:
    with Mirror(job, 1, wire, 0.01) as mirror:
        wire.broken = ["before"] * 3  # a desk that is away for a moment
        (mirror.job.folder / "workers" / "00001.json").write_text("{}")
        (job.folder / STOP).touch()
        deadline = time.monotonic() + 10
        while not ((mirror.job.folder / STOP).exists() and (job.folder / "workers" / "00001.json").exists()):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_later_attempt_owns_the_run(job: TrainJob, wire: Wire, first: Mirror) -> None:
    begin(first)
    say(first, "ours\n")
    first.sync()
    with Mirror(job, 0, wire, NEVER) as second:
        mine = begin(second)
        say(first, "stale\n")
        (first.job.folder / RESULT).write_text("{}")
        first.sync()
        assert Attempts.read(first.job.folder).token != mine.token  # so the loop ends itself
        with pytest.raises(ValueError, match="belongs to a later attempt"):
            hand_over(first, b"stale")
        say(second, "theirs\n")
        second.sync()
    assert metrics(job) == "ours\ntheirs\n"
    assert not (job.folder / RESULT).exists()
    assert not (job.folder / "adapter").exists()
    assert Attempts.read(job.folder).token == mine.token


def test_the_beginning_of_an_attempt_counts_though_its_answer_is_lost(job: TrainJob, wire: Wire, first: Mirror) -> None:
    record = attempts.begin(first.job.folder, 0, ResourcesSection(), TrainSection())
    wire.broken = ["after"]
    with pytest.raises(LinkLost):
        first.sync()
    say(first, "one\n")
    first.sync()
    assert Attempts.read(job.folder) == record
    assert metrics(job) == "one\n"


def test_another_worker_notes_a_failure_but_takes_no_run_away(job: TrainJob, wire: Wire, first: Mirror) -> None:
    with Mirror(job, 1, wire, NEVER) as other:
        mine = begin(first)
        attempts.note_failure(other.job.folder, 1, RuntimeError("out of date"))  # it has not heard of the attempt
        other.sync()
        assert Attempts.read(job.folder) == mine
        attempts.note_failure(other.job.folder, 1, RuntimeError("lost"))
        other.sync()
        assert Attempts.read(job.folder).last_failure == "worker 1: RuntimeError: lost"
        attempts.ends_as_asked(first.job.folder)
        first.sync()
        assert Attempts.read(job.folder).asked


def hand_over(mirror: Mirror, content: bytes) -> None:
    mirror.job.artefact.mkdir()
    (mirror.job.artefact / "adapter_model.safetensors").write_bytes(content)
    (mirror.job.artefact / "empty.txt").touch()
    mirror.hand_over()


def test_an_artefact_comes_in_pieces_and_replaces_an_older_one_whole(
    job: TrainJob, wire: Wire, first: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "PIECE", 1000)
    (job.folder / "adapter").mkdir()
    (job.folder / "adapter" / "of-an-earlier-attempt").touch()
    begin(first)
    content = os.urandom(3500)
    hand_over(first, content)
    assert [method for method, _ in wire.calls].count("receive") == 5
    assert sorted(path.name for path in (job.folder / "adapter").iterdir()) == [
        "adapter_model.safetensors",
        "empty.txt",
    ]
    assert (job.folder / "adapter" / "adapter_model.safetensors").read_bytes() == content
    method, arguments = wire.calls[-1]
    wire.call(method, *arguments)  # Ray makes a call again whose answer it has lost
    assert not list(job.folder.glob(".tmp-*"))


def test_an_artefact_that_is_cut_short_is_not_seen(job: TrainJob, wire: Wire, first: Mirror) -> None:
    begin(first)
    wire.broken = ["whole", "whole", "before"]
    with pytest.raises(LinkLost):
        hand_over(first, b"x")
    assert not (job.folder / "adapter").exists()
    upload = next(arguments[0] for method, arguments in wire.calls if method == "receive")
    token = Attempts.read(job.folder).token
    with pytest.raises(ValueError, match="not what was sent"):
        wire.call("accept", upload, "adapter", token, {"adapter_model.safetensors": "0" * 64})
    assert not (job.folder / "adapter").exists()
    with Mirror(job, 0, wire, NEVER):
        assert not list(job.folder.glob(".tmp-*"))  # the next attempt begins with clearing up


def test_a_folder_of_a_killed_worker_is_not_taken_for_ones_own(job: TrainJob, wire: Wire, first: Mirror) -> None:
    node = Path(os.environ[NODE_FOLDER])
    left = node / "run-left" / "run"
    left.mkdir(parents=True)
    (left / METRICS).write_text("old\n")
    for folder in (left.parent, first.job.folder.parent):
        os.utime(folder, (1, 1))
    with Mirror(job, 0, wire, NEVER) as mirror:
        begin(mirror)
        assert not left.exists()
        assert first.job.folder.exists()  # that worker lives
        assert mirror.job.folder != left
        assert mirror.job.folder.name == job.folder.name  # which names the run's checkpoints
    assert not (job.folder / METRICS).exists()


HOSTILE = (
    "../escape",
    "workers/../../escape",
    "/etc/escape",
    "",
    ".",
    "..",
    "a/b",
    ".hidden",
    "x\x00",
    "x" * 300,
    None,
)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused_by_the_desk(job: TrainJob, wire: Wire, first: Mirror, name: Any) -> None:
    token = begin(first).token
    before = sorted(path for path in job.folder.parent.rglob("*"))
    for rank in (0, 1):
        with pytest.raises(ValueError, match="is not written by worker"):
            wire.call("exchange", rank, token, {}, {name: b"x"}, None)
    for method, arguments in (
        ("receive", ("upload", name, 0, b"x")), ("receive", (name, "x", 0, b"x")), ("piece", ("dataset", name, 0, 9)),
        ("accept", (name, "adapter", token, {})),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="is no plain name of a file"):
            wire.call(method, *arguments)
    with pytest.raises(ValueError, match="is no artefact of a run"):
        wire.call("accept", "upload", str(name), token, {})
    after = [path for path in job.folder.parent.rglob("*") if not path.name.startswith(".tmp-upload-")]
    assert sorted(after) == before


def test_no_worker_writes_for_another_or_wishes_for_the_driver(job: TrainJob, wire: Wire, first: Mirror) -> None:
    token = begin(first).token
    for rank, name in ((1, "workers/00000.json"), (1, RESULT), (1, RESIZE), (0, STOP), (0, METRICS), (0, "cost.json")):
        with pytest.raises(ValueError, match="is not written by worker"):
            wire.call("exchange", rank, token, {}, {name: b"x"}, None)
    with pytest.raises(ValueError, match="make none"):
        wire.call("exchange", 0, token, {}, {RESIZE: b""}, None)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused_by_the_worker(
    job: TrainJob, wire: Wire, first: Mirror, name: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(ValueError, match="is no file of the driver for its workers"):
        patched.setattr(wire.desk, "_answer", lambda has: {"files": {name: b"x"}, "size": 0, "lost": False})
        first.sync()
    described = desks.Described(name, 1, "0" * 64)
    monkeypatch.setattr(wire.desk, "listing", lambda what: [described])
    with pytest.raises(ValueError, match="is no plain name of a file"):
        first.ready()


def test_rows_and_base_are_fetched_once_and_checked(
    job: TrainJob, wire: Wire, first: Mirror, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = first.ready()
    node = Path(os.environ[NODE_FOLDER])
    assert ready.dataset_folder.startswith(str(node)) and ready.model_folder.startswith(str(node))
    names = {path.name for path in Path(ready.dataset_folder).iterdir()}
    assert names == {"manifest.json", "train-00000.parquet", "validation-00000.parquet"}
    fetched = [method for method, _ in wire.calls].count("piece")
    with Mirror(job, 1, wire, NEVER) as other:
        assert other.ready().model_folder == ready.model_folder
    assert [method for method, _ in wire.calls].count("piece") == fetched


def test_a_piece_that_changes_on_its_way_leaves_nothing(
    job: TrainJob, wire: Wire, first: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = wire.desk.piece
    monkeypatch.setattr(wire.desk, "piece", lambda *arguments: whole(*arguments)[:-1] + b"?")
    with pytest.raises(TrainError) as caught:
        first.ready()
    assert "has changed on its way" in caught.value.what
    assert not list(Path(os.environ[NODE_FOLDER]).glob("dataset-*"))


def test_rows_that_are_not_those_of_their_manifest_are_refused(job: TrainJob, tmp_path: Path, tiny_model: Path) -> None:
    folder = tiny.write_dataset(tmp_path / "damaged", train=tiny.make_rows(1, 3))
    manifest = {"version": "tiny", "parts": {}, "files": {"train-00000.parquet": "0" * 64}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    desk = Wire(Desk(job.run_folder, str(folder), str(tiny_model)))
    with Mirror(job, 0, desk, NEVER) as mirror, pytest.raises(DataError) as caught:
        mirror.ready()
    assert caught.value.what == "train-00000.parquet is not what its dataset version was made with"


def test_a_large_base_is_found_at_the_drivers_path_or_by_its_source(
    job: TrainJob, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from tunesmith.models.files import content_revision

    monkeypatch.setattr(desks, "LARGEST_BASE", 1000)
    revision = content_revision(Path(job.model_folder))
    with Mirror(replace(job, identity={"model": revision}), 0, wire, NEVER) as mirror:
        assert mirror.ready().model_folder == job.model_folder
    other = replace(job, identity={"model": "sha256:other"})
    with Mirror(other, 0, wire, NEVER) as mirror, pytest.raises(ModelError) as caught:
        mirror.ready()
    assert f"finds {revision} there, the driver has sha256:other" in caught.value.what
    assert caught.value.where == "model.source"
    gone = replace(other, model_folder="/nowhere", recipe={**job.recipe, "model": {"source": "./gone"}})
    with Mirror(gone, 0, wire, NEVER) as mirror, pytest.raises(ModelError) as caught:
        mirror.ready()
    assert "cannot get it: there is no model at './gone'" in caught.value.what


def test_a_folder_of_somebody_else_is_not_used(
    job: TrainJob, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(NODE_FOLDER)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"tunesmith-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with Mirror(job, 0, wire, NEVER) as mirror, pytest.raises(TrainError) as caught:
        mirror.ready()
    assert "has no folder for what it fetches from the driver (it belongs to somebody else)" in caught.value.what
    assert NODE_FOLDER in str(caught.value.fix)


def test_checkpoints_on_a_node_that_may_go_are_refused(tmp_path: Path, tiny_model: Path, tiny_dataset: Path) -> None:
    job = tiny.make_job(tmp_path / "run", tiny_model, tiny_dataset)
    wire = Wire(Desk(job.run_folder, job.dataset_folder, job.model_folder))
    with Mirror(job, 0, wire, NEVER) as mirror, pytest.raises(TrainError) as caught:
        mirror.ready()
    assert caught.value.where == "resources.checkpoints"


def test_places_are_shown_as_the_user_finds_them(job: TrainJob, wire: Wire, first: Mirror) -> None:
    assert first.shown(f"{first.job.folder / ERROR}:1") == f"{job.folder / ERROR}:1"
    assert first.shown(None) is None
