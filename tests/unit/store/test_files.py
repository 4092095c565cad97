"""Artefact files in a local folder: whole or not there, checked whenever they are read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tunesmith.errors import StoreError
from tunesmith.store import durable, local_folder
from tunesmith.store.content import Manifest, StoredFile, check_name
from tunesmith.store.files import FileStore, NotStored


@pytest.fixture
def artefact(tmp_path: Path) -> Path:
    folder = tmp_path / "artefact"
    (folder / "sub").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(b"\0\1\2")
    (folder / "sub" / "Ünï 模型.json").write_text("{}")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore.open(str(tmp_path / "artifacts"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_put_is_fetched(store: FileStore, artefact: Path, tmp_path: Path) -> None:
    manifest = store.put(artefact)
    assert contents(store.fetch(manifest.content_hash, tmp_path / "cache")) == contents(artefact)
    assert store.list() == [manifest.content_hash]
    assert store.put(artefact) == manifest and store.list() == [manifest.content_hash]


def test_one_file_is_read_without_the_others(store: FileStore, artefact: Path, tmp_path: Path) -> None:
    found = store.put(artefact).content_hash
    files = store.fetch(found, tmp_path / "cache")
    (files / "weights.bin").unlink()
    assert store.read(found, "sub/Ünï 模型.json") == b"{}"
    assert store.read(found, "nothing.json") is None
    (files / "sub" / "Ünï 模型.json").write_text("[]")
    for name in ("weights.bin", "sub/Ünï 模型.json"):
        with pytest.raises(StoreError, match="has changed or is missing"):
            store.read(found, name)


def test_the_content_hash_is_that_of_sha256sum(store: FileStore, artefact: Path) -> None:
    # Reference: coreutils. Sorting by bytes is what LC_ALL=C asks for.
    command = "find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    printed = subprocess.run(["bash", "-c", command], cwd=artefact, capture_output=True, text=True, check=True).stdout
    assert store.put(artefact).content_hash == printed.split()[0]


def test_a_link_to_a_file_inside_is_stored_as_that_file(store: FileStore, artefact: Path, tmp_path: Path) -> None:
    (artefact / "link.bin").symlink_to("weights.bin")
    fetched = store.fetch(store.put(artefact).content_hash, tmp_path)
    assert (fetched / "link.bin").read_bytes() == b"\0\1\2" and not (fetched / "link.bin").is_symlink()


def _link_outside(folder: Path) -> None:
    (folder / "passwd").symlink_to("/etc/passwd")


def _link_to_a_folder(folder: Path) -> None:
    (folder / "again").symlink_to("sub")


def _broken_link(folder: Path) -> None:
    (folder / "broken").symlink_to("nowhere")


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def _backslash(folder: Path) -> None:
    (folder / "..\\..\\x").touch()


def _new_line(folder: Path) -> None:
    (folder / "a\nb").touch()


def _not_utf8(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).touch()


def _empty(folder: Path) -> None:
    for path in list(folder.rglob("*")):
        if path.is_file():
            path.unlink()


BAD_FOLDERS = [
    (_link_outside, "{}/passwd: a link leads out of the folder\n  fix: put a copy of the file there: cp -L FROM TO"),
    (_link_to_a_folder, "{}/again: a link to a folder is not stored\n  fix: put a copy there: cp -rL FROM TO"),
    (_broken_link, "{}/broken: cannot be read: No such file or directory\n  fix: mend or remove it"),
    (_pipe, "{}/pipe: only plain files can be stored\n  fix: remove it from the folder"),
    (
        _backslash,
        "{}: the file name '..\\\\..\\\\x' is not allowed\n"
        "  fix: use relative names without '..', backslashes, colons and control characters",
    ),
    (
        _new_line,
        "{}: the file name 'a\\nb' is not allowed\n"
        "  fix: use relative names without '..', backslashes, colons and control characters",
    ),
    (_not_utf8, "{}: a file name is not valid UTF-8\n  fix: rename '\\udcff'"),
    (_empty, "{}: the folder holds no files\n  fix: an artefact needs at least one file"),
]


@pytest.mark.parametrize(("spoil", "message"), BAD_FOLDERS)
def test_what_cannot_be_stored_is_named(store: FileStore, artefact: Path, spoil: object, message: str) -> None:
    spoil(artefact)  # type: ignore[operator]
    with pytest.raises(StoreError) as caught:
        store.put(artefact)
    assert str(caught.value) == message.format(artefact)
    assert store.list() == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "./a",
        "a/",
        "a\\b",
        "C:x",
        "a\0b",
        "a\x1b[31m",
        "a\x7f",
        "x" * 256,
        "/".join(["x" * 200] * 6),
        "x" * 10_000_000,
        "\ud800",
    ],
    ids=lambda name: repr(name[:12]),
)
def test_hostile_names_are_refused_briefly(name: str) -> None:
    with pytest.raises(StoreError) as caught:
        check_name(name, "manifest.json")
    assert len(str(caught.value)) < 500 and "\x1b" not in str(caught.value) and "\0" not in str(caught.value)


@pytest.mark.parametrize("name", ["a", "a/b.c", "..a", "a..", "ünï 模型", "x" * 255, "what?#%.bin"])
def test_plain_names_are_allowed(name: str) -> None:
    assert check_name(name, "") == name


@pytest.mark.parametrize("content_hash", ["", "../../etc", "0" * 63, "0" * 65, "A" * 64, "0" * 64 + "\n", "x" * 10**7])
def test_what_is_no_content_hash_never_becomes_a_path(store: FileStore, tmp_path: Path, content_hash: str) -> None:
    for read in (store.manifest, store.verify, store.uri, lambda asked: store.fetch(asked, tmp_path)):
        with pytest.raises(StoreError, match="is not a content hash"):
            read(content_hash)


def test_every_kind_of_damage_is_named(store: FileStore, artefact: Path) -> None:
    stored = store.put(artefact).content_hash
    folder = store.fetch(stored, artefact)
    (folder / "weights.bin").chmod(0o644)
    (folder / "weights.bin").write_bytes(b"\0\1\3")
    (folder / "sub" / "Ünï 模型.json").unlink()
    (folder / "modeling.py").touch()
    with pytest.raises(StoreError) as caught:
        store.verify(stored)
    assert caught.value.what == (
        "the artefact is damaged: 'sub/Ünï 模型.json' is missing, 'weights.bin' has changed, "
        "'modeling.py' does not belong to it"
    )
    (folder / "modeling.py").unlink()
    # The same files again mend it.
    assert store.put(artefact).content_hash == stored
    assert store.verify(stored).num_bytes == 5


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: b"",
        lambda body: b"\xff",
        lambda body: b"[]",
        lambda body: b"[" * 100_000,
        lambda body: json.dumps({**body, "files": body["files"][:1]}).encode(),
        lambda body: json.dumps({**body, "files": body["files"] * 2}).encode(),
        lambda body: json.dumps({**body, "files": [{**body["files"][0], "size": "x"}]}).encode(),
    ],
    ids=["empty", "binary", "list", "deep", "fewer files", "twice", "no size"],
)
def test_a_damaged_manifest_is_refused(store: FileStore, artefact: Path, tmp_path: Path, spoil: object) -> None:
    stored = store.put(artefact).content_hash
    manifest = tmp_path / "artifacts" / stored / "manifest.json"
    manifest.write_bytes(spoil(json.loads(manifest.read_bytes())))  # type: ignore[operator]
    with pytest.raises(StoreError, match=rf"{stored}: the manifest (cannot be read|does not belong)"):
        store.verify(stored)
    store.put(artefact)
    store.verify(stored)


def test_a_link_planted_in_the_store_is_not_followed(store: FileStore, artefact: Path, tmp_path: Path) -> None:
    stored = store.put(artefact).content_hash
    planted = tmp_path / "artifacts" / stored / "files" / "weights.bin"
    (tmp_path / "outside").write_bytes(b"\0\1\2")
    planted.unlink()
    planted.symlink_to(tmp_path / "outside")
    with pytest.raises(StoreError, match="a link leads out of the artefact"):
        store.fetch(stored, tmp_path)


def test_a_file_that_changes_while_it_is_stored_is_refused(
    store: FileStore, artefact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_copy = local_folder._copy

    def copy(file: StoredFile, source: local_folder.Opener, target: Path) -> None:
        (artefact / "weights.bin").write_bytes(b"later")
        really_copy(file, source, target)

    monkeypatch.setattr(local_folder, "_copy", copy)
    with pytest.raises(StoreError, match=r"^weights\.bin: the file is not what its hash says"):
        store.put(artefact)
    assert store.list() == []


def test_a_full_disk_is_a_sentence_and_leaves_nothing(
    store: FileStore, artefact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(local_folder, "sync_file", full)
    with pytest.raises(StoreError, match="No space left on device"):
        store.put(artefact)
    assert list((tmp_path / "artifacts").iterdir()) == []


def test_a_file_in_the_way_of_the_store_is_a_sentence(artefact: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="the files cannot be read or written: "):
        FileStore.open(str(tmp_path / "file")).put(artefact)


def test_what_a_killed_process_left_is_swept_when_it_is_old(store: FileStore, artefact: Path, tmp_path: Path) -> None:
    store.put(artefact)
    root = tmp_path / "artifacts"
    old, fresh = root / f"{durable.TEMPORARY}old", root / f"{durable.TEMPORARY}fresh"
    for folder in (old, fresh):
        folder.mkdir()
        (folder / "part").touch()
    os.utime(old, (0, 0))
    (artefact / "weights.bin").write_bytes(b"new")
    store.put(artefact)
    assert not old.exists() and fresh.exists()
    assert len(store.list()) == 2


def test_nothing_is_created_before_something_is_put(tmp_path: Path) -> None:
    store = FileStore.open((tmp_path / "a b" / "artifacts").as_uri())
    assert store.list() == []
    with pytest.raises(NotStored):
        store.fetch("0" * 64, tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []


def test_any_fsspec_file_system_can_hold_artefacts(artefact: Path, tmp_path: Path) -> None:
    store = FileStore.open("memory://bucket/prefix")
    stored = store.put(artefact).content_hash
    assert store.list() == [stored]
    assert contents(store.fetch(stored, tmp_path / "cache")) == contents(artefact)


BAD_LOCATIONS = [
    ("nosuch://bucket/x", "nosuch://bucket/x: the artefact location cannot be used: Protocol not known: nosuch"),
    ("filecache::s3://bucket/x", "chained URLs are not supported"),
    ("a\0b", "the artefact location holds a NUL byte"),
]


@pytest.mark.parametrize(("location", "message"), BAD_LOCATIONS)
def test_a_location_that_makes_no_sense_is_a_sentence(location: str, message: str) -> None:
    with pytest.raises(StoreError) as caught:
        FileStore.open(location)
    assert message in str(caught.value)


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.fs", None)
    with pytest.raises(StoreError) as caught:
        FileStore.open("s3://KEY:SECRET@bucket/x")
    assert str(caught.value) == (
        's3://bucket/x: the driver for s3:// is not installed\n  fix: pip install "tunesmith[train]"'
    )


def test_a_manifest_has_the_same_bytes_for_the_same_files() -> None:
    files = (StoredFile("a", 1, "0" * 64), StoredFile("b", 2, "1" * 64))
    manifest = Manifest(files)
    again = Manifest.from_bytes(manifest.to_bytes(), manifest.content_hash, "here")
    assert again == manifest and again.to_bytes() == manifest.to_bytes()


def test_what_another_process_finishes_while_old_files_are_looked_for_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, old = tmp_path / ".tmp-gone", tmp_path / ".tmp-old"
    old.mkdir()
    os.utime(old, (0, 0))
    monkeypatch.setattr(Path, "glob", lambda *_: iter([gone, old]))
    assert durable.sweep(tmp_path) == 1
    assert not old.exists()
