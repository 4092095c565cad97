"""Where results go: what is no place for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.cluster.storage import Storage
from tunesmith.cluster.targets import TargetError


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("", "names no place"), ("/", "names no place"), ("file://", "names no place"), ("file:///", "names no place"),
        ("file:x", "names no place"), ("file://host/x", "names no place"), ("github://x/y", "github:// is no kind"),
        ("https://x/y", "https:// is no kind"), ("~nosuchuser/x", "the storage cannot be found"),
    ],
)  # fmt: skip
def test_what_is_no_storage(location: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        Storage(location)


def test_a_folder_is_one(tmp_path: Path) -> None:
    for location in (str(tmp_path), f"file://{tmp_path}"):
        storage = Storage(location)
        storage.check()
        storage.write("a/b.json", b"1")
        assert (storage.read("a/b.json"), storage.names("a"), storage.read("a/c")) == (b"1", ["b.json"], None)
        assert storage.under("x") == f"{tmp_path}/x"
