"""What a retrain has written, beside the artefacts: brought whole to another machine, and nothing else with it."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec
import pytest

from tunesmith.errors import StoreError
from tunesmith.monitor.retrain.copies import FOLDER, LIST, fetch, folder_of, keep
from tunesmith.store.home import Home


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> str:
    """A place of its own in fsspec's store in memory."""
    name = f"copies-{request.node.name}".replace("[", "-").replace("]", "")
    return f"memory://{name}"


def home_of(folder: Path, artefacts: str) -> Home:
    return Home(folder, f"sqlite:///{folder}/registry.db", artefacts)


def written(home: Home, **files: str) -> Path:
    folder = folder_of(home, "tiny", 3)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_json", ".json").replace("_yaml", ".yaml")).write_text(content)
    return folder


def names(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()} if folder.is_dir() else {}


def test_another_machine_has_what_this_one_wrote(tmp_path: Path, bucket: str) -> None:
    here, there = home_of(tmp_path / "here", bucket), home_of(tmp_path / "there", bucket)
    folder = written(here, recipe_yaml="name: tiny", answers_json="{}")
    (folder / ".tmp-half").write_text("half")
    keep(here, "tiny", 3)
    fetch(there, "tiny", 3)
    assert names(folder_of(there, "tiny", 3)) == {"recipe.yaml": "name: tiny", "answers.json": "{}"}
    fetch(there, "tiny", 4)  # of which nothing was written
    assert not folder_of(there, "tiny", 4).exists()


def test_what_was_written_anew_elsewhere_goes_before_what_was_left_here(tmp_path: Path, bucket: str) -> None:
    here, there = home_of(tmp_path / "here", bucket), home_of(tmp_path / "there", bucket)
    written(there, recipe_yaml="old", answers_json="of a step that was not written down")
    written(here, recipe_yaml="older")
    keep(here, "tiny", 3)
    written(here, recipe_yaml="new")
    keep(here, "tiny", 3)
    fetch(there, "tiny", 3)
    kept = {"recipe.yaml": "new", "answers.json": "of a step that was not written down"}
    assert names(folder_of(there, "tiny", 3)) == kept


def test_a_copy_that_is_missing_or_damaged_is_named(tmp_path: Path, bucket: str) -> None:
    here, there = home_of(tmp_path / "here", bucket), home_of(tmp_path / "there", bucket)
    written(here, recipe_yaml="name: tiny")
    keep(here, "tiny", 3)
    store = fsspec.filesystem("memory")
    root = f"/{bucket.removeprefix('memory://')}/{FOLDER}/tiny/3"
    [copy] = [path for path in store.ls(root, detail=False) if path.endswith("-recipe.yaml")]
    store.pipe(copy, b"name: other")
    with pytest.raises(StoreError, match=r"the copy of recipe\.yaml of tiny retrain 3 is damaged"):
        fetch(there, "tiny", 3)
    store.rm(copy)
    with pytest.raises(StoreError, match="is missing"):
        fetch(there, "tiny", 3)
    assert names(folder_of(there, "tiny", 3)) == {}


@pytest.mark.parametrize(
    "listed",
    [
        {"../../evil.yaml": "0" * 64},
        {"/etc/evil.yaml": "0" * 64},
        {".ssh.yaml": "0" * 64},
        {"recipe.yaml": "../../other"},
        {"recipe.yaml": 7},
        ["recipe.yaml"],
    ],
)
def test_a_list_with_other_names_is_none(tmp_path: Path, bucket: str, listed: object) -> None:
    root = f"/{bucket.removeprefix('memory://')}/{FOLDER}/tiny/3"
    fsspec.filesystem("memory").pipe(f"{root}/{LIST}", json.dumps(listed).encode())
    with pytest.raises(StoreError, match="this is no list of a retrain's files"):
        fetch(home_of(tmp_path / "there", bucket), "tiny", 3)
    assert list(tmp_path.iterdir()) == []


def test_with_artefacts_on_this_machine_nothing_is_copied(tmp_path: Path) -> None:
    home = home_of(tmp_path / "here", str(tmp_path / "artefacts"))
    written(home, recipe_yaml="name: tiny")
    keep(home, "tiny", 3)
    fetch(home, "tiny", 3)
    assert not (tmp_path / "artefacts").exists()
