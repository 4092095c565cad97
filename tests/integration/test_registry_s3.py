"""Artefacts in an object store, over HTTP, with pyarrow and without s3fs."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest

from tunesmith.errors import StoreError
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion
from tunesmith.store.content import Manifest
from tunesmith.store.files import FileStore, NotStored
from tunesmith.store.home import Home

ODD_NAMES = ["weights.bin", "a b/ünï 模型.txt", "50%.txt", "what?.txt", "a#b.txt", "x=1&y.txt", "plus+.txt"]


@pytest.fixture
def artefact(tmp_path: Path) -> Path:
    folder = tmp_path / "artefact"
    for number, name in enumerate(ODD_NAMES):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * 1000)
    (folder / "empty").touch()
    return folder


@pytest.fixture
def location(s3_bucket: str) -> str:
    return f"s3://{s3_bucket}/team/artifacts"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_version_is_registered_fetched_and_verified_over_s3(location: str, artefact: Path, tmp_path: Path) -> None:
    loaded = set(sys.modules)
    home = Home(tmp_path / "home", f"sqlite:///{tmp_path / 'registry.db'}", location)
    registry = Registry.open(home)
    version = registry.register(NewVersion("model", "adapter", "base", "r1", {}, "someone"), artefact)
    assert version.artefact_uri == f"{location}/{version.content_hash}"
    # Another machine: same database and bucket, another home folder.
    elsewhere = Registry.open(Home(tmp_path / "elsewhere", home.database_url, location))
    folder = elsewhere.fetch(elsewhere.resolve("model"))
    assert folder.is_relative_to(tmp_path / "elsewhere")
    assert contents(folder) == contents(artefact)
    assert elsewhere.verify(version).num_bytes == 1000 * len(ODD_NAMES)
    # And a machine whose own artefacts lie elsewhere follows the place that was recorded.
    local = Registry.open(Home(tmp_path / "third", home.database_url, str(tmp_path / "third" / "artifacts")))
    assert contents(local.fetch(version)) == contents(artefact)
    assert not {"s3fs", "boto3", "botocore"} & (set(sys.modules) - loaded)


def test_the_same_content_hash_locally_and_remotely(location: str, artefact: Path, tmp_path: Path) -> None:
    remote, local = FileStore.open(location), FileStore.open(str(tmp_path / "local"))
    assert remote.put(artefact) == local.put(artefact)
    assert remote.list() == local.list() != []


def test_a_file_above_the_size_of_a_part_is_uploaded_whole(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(bytes(range(256)) * (25 * 4096))
    store = FileStore.open(location)
    stored = store.put(folder).content_hash
    assert contents(store.fetch(stored, tmp_path / "cache")) == contents(folder)


def test_a_changed_object_is_named_and_registering_again_mends_it(
    location: str, artefact: Path, tmp_path: Path
) -> None:
    store = FileStore.open(location)
    stored = store.put(artefact).content_hash
    files = _objects(store)
    with files.open(f"{_path(location)}/{stored}/files/weights.bin", "wb") as out:
        out.write(b"evil")
    with pytest.raises(StoreError, match=r"the artefact is damaged: 'weights\.bin' has changed"):
        store.verify(stored)
    with pytest.raises(StoreError, match=r"weights\.bin: the file is not what its hash says"):
        store.fetch(stored, tmp_path / "cache")
    assert not (tmp_path / "cache" / stored).exists()
    files.rm_file(f"{_path(location)}/{stored}/files/50%.txt")
    store.put(artefact)
    assert contents(store.fetch(stored, tmp_path / "cache")) == contents(artefact)


def test_a_damaged_cache_is_fetched_again(location: str, artefact: Path, tmp_path: Path) -> None:
    store = FileStore.open(location)
    stored = store.put(artefact).content_hash
    fetched = store.fetch(stored, tmp_path / "cache")
    (fetched / "weights.bin").chmod(0o644)
    (fetched / "weights.bin").write_bytes(b"evil")
    (fetched / "extra.py").touch()
    assert contents(store.fetch(stored, tmp_path / "cache")) == contents(artefact)


def test_an_upload_that_dies_at_any_object_is_not_there_and_a_retry_ends_it(location: str, artefact: Path) -> None:
    num_uploads = len(ODD_NAMES) + 2
    for last in range(num_uploads):
        (artefact / "weights.bin").write_bytes(f"try {last}".encode())
        store = FileStore.open(location)
        before = store.list()
        files, num_opened = _objects(store), iter(range(num_uploads + 1))
        really_open = files.open

        def die(path: str, mode: str, last: int = last, num_opened: Any = num_opened, go: Any = really_open) -> Any:
            if mode == "wb" and next(num_opened) == last:
                raise KeyboardInterrupt
            return go(path, mode)

        files.open = die
        with pytest.raises(KeyboardInterrupt):
            store.put(artefact)
        after = FileStore.open(location)
        assert after.list() == before
        stored = after.put(artefact).content_hash
        assert after.verify(stored).content_hash == stored


def test_a_manifest_that_leads_outside_is_refused(location: str, artefact: Path, tmp_path: Path) -> None:
    store = FileStore.open(location)
    content = b"x"
    sha256 = hashlib.sha256(content).hexdigest()
    stored = hashlib.sha256(f"{sha256}  ../../../evil\n".encode()).hexdigest()
    body = f'{{"files": [{{"name": "../../../evil", "size": 1, "sha256": "{sha256}"}}]}}'
    with _objects(store).open(f"{_path(location)}/{stored}/manifest.json", "wb") as out:
        out.write(body.encode())
    with pytest.raises(StoreError, match=r"the file name '\.\./\.\./\.\./evil' is not allowed"):
        store.fetch(stored, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_what_goes_wrong_is_a_sentence(s3_server: str, artefact: Path, tmp_path: Path) -> None:
    nowhere = FileStore.open("s3://no-such-bucket/x")
    with pytest.raises(StoreError, match=r"^s3://no-such-bucket/x: .*The specified bucket does not exist"):
        nowhere.list()
    with pytest.raises(NotStored, match="the artefact is not here"):
        nowhere.manifest("0" * 64)
    with pytest.raises(StoreError, match="the files cannot be read or written"):
        nowhere.put(artefact)


def test_keys_in_the_location_are_not_shown_or_stored(s3_bucket: str, s3_server: str, artefact: Path) -> None:
    host = s3_server.removeprefix("http://")
    store = FileStore.open(f"s3://testing:t0psecret@{s3_bucket}/x?scheme=http&endpoint_override={host}")
    stored = store.put(artefact)
    assert isinstance(stored, Manifest)
    assert store.uri(stored.content_hash) == f"s3://{s3_bucket}/x/{stored.content_hash}"
    with pytest.raises(StoreError) as caught:
        FileStore.open(f"s3://testing:t0psecret@{s3_bucket}/x?no_such_option=1")
    assert "t0psecret" not in str(caught.value)


def _objects(store: FileStore) -> Any:
    return store._place._files  # type: ignore[union-attr]


def _path(location: str) -> str:
    return location.removeprefix("s3://")
