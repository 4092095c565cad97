"""What travels with a job, and what does not."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from tunesmith.cluster import pack as packing
from tunesmith.cluster.pack import Package, pack
from tunesmith.cluster.targets import TargetError
from tunesmith.recipe.load import load_recipe

RECIPE = "name: tiny\nmodel: {source: smollm2-135m-instruct}\ndata: {train: %s}\n"


def packed(folder: Path, train: str, more: str = "") -> Package:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(RECIPE % train + more)
    return pack(load_recipe(folder / "recipe.yaml"))


def names(package: Package) -> set[str]:
    return set(zipfile.ZipFile(io.BytesIO(package.content)).namelist())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "project"
    made.mkdir()
    (made / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    (made / ".env").write_text("AWS_SECRET_ACCESS_KEY=hunter2")
    (made / ".git").mkdir()
    (made / ".git" / "config").write_text("hunter2")
    return made


def test_only_what_the_recipe_names_is_taken(folder: Path) -> None:
    found = packed(folder, "rows.jsonl")
    own = {name for name in names(found) if not name.startswith("tunesmith/")}
    assert own == {"recipe.yaml", "files/train0-0000.jsonl"} == set(found.files)
    assert {"tunesmith/__init__.py", "tunesmith/cluster/job.py", "tunesmith/report/page.jinja"} < names(found)
    archive = zipfile.ZipFile(io.BytesIO(found.content))
    assert not any(b"hunter2" in archive.read(name) for name in archive.namelist())


def test_the_recipe_in_it_reads_the_files_in_it(folder: Path, tmp_path: Path) -> None:
    (folder / "template.jinja").write_text("{{ messages }}")
    (folder / "more").mkdir()
    for number in range(3):
        (folder / "more" / f"{number}.csv").write_text("prompt,completion\na,b\n")
    found = packed(folder, "[rows.jsonl, more/*.csv]", "# a note\n")
    there = tmp_path / "there"
    zipfile.ZipFile(io.BytesIO(found.content)).extractall(there)
    recipe = load_recipe(there / "recipe.yaml").recipe
    first, second = recipe.data.train
    assert (there / first.path).read_text() == (folder / "rows.jsonl").read_text()  # type: ignore[union-attr]
    assert len(list(there.glob(second.path))) == 3  # type: ignore[union-attr]
    assert recipe.name == "tiny"


def test_the_same_files_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    first = packed(folder, "rows.jsonl")
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "rows.jsonl").write_text((folder / "rows.jsonl").read_text())
    again = packed(other, "rows.jsonl")
    assert (first.content, first.digest) == (again.content, again.digest)
    (other / "rows.jsonl").write_text('{"prompt": "a", "completion": "c"}\n')
    assert packed(other, "rows.jsonl").digest != first.digest


def test_a_file_of_two_sources_is_there_for_both(folder: Path, tmp_path: Path) -> None:
    (folder / "other.jsonl").write_text('{"prompt": "c", "completion": "d"}\n')
    found = packed(folder, '[rows.jsonl, "*.jsonl"]')
    there = tmp_path / "there"
    zipfile.ZipFile(io.BytesIO(found.content)).extractall(there)
    _, second = load_recipe(there / "recipe.yaml").recipe.data.train
    texts = [path.read_text() for path in sorted(there.glob(second.path))]  # type: ignore[union-attr]
    assert texts == [(folder / name).read_text() for name in ("other.jsonl", "rows.jsonl")]


def test_a_pattern_does_not_follow_links_out_of_its_folder(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "id_rsa"
    secret.write_text("hunter2")
    (folder / "data").mkdir()
    (folder / "data" / "a.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    (folder / "data" / "within.jsonl").symlink_to(folder / "data" / "a.jsonl")
    assert len(packed(folder, "data/*.jsonl").files) == 2  # the same file twice is one
    (folder / "data" / "b.jsonl").symlink_to(secret)
    with pytest.raises(TargetError, match=r"data/\*\.jsonl matches a link out of its folder, to .*id_rsa"):
        packed(folder, "data/*.jsonl")
    (folder / "data" / "b.jsonl").unlink()
    (folder / "data" / "deeper").symlink_to(tmp_path)
    (tmp_path / "c.jsonl").write_text("hunter2")
    with pytest.raises(TargetError, match=r"to .*c\.jsonl"):
        packed(folder, "data/**/*.jsonl")
    assert len(packed(folder, "data/deeper/c.jsonl").files) == 2  # named by itself it travels


def test_urls_stay_where_they_are(folder: Path) -> None:
    assert set(packed(folder, "s3://bucket/rows.jsonl").files) == {"recipe.yaml"}


def test_a_hostile_name_is_replaced(folder: Path) -> None:
    (folder / "..%2f..%2fetc; rm -rf ~.jsonl").write_text("{}\n")
    found = packed(folder, '"..%2f..%2fetc; rm -rf ~.jsonl"')
    assert set(found.files) == {"recipe.yaml", "files/train0-0000.jsonl"}


def test_a_link_keeps_the_ending_of_its_own_name(folder: Path) -> None:
    (folder / "blob").write_text((folder / "rows.jsonl").read_text())
    (folder / "linked.jsonl").symlink_to("blob")
    assert set(packed(folder, "linked.jsonl").files) == {"recipe.yaml", "files/train0-0000.jsonl"}


def test_a_template_that_is_not_there_is_told_of(folder: Path) -> None:
    (folder / "r.yaml").write_text(RECIPE.replace("instruct}", "instruct, chat_template: gone.jinja}") % "rows.jsonl")
    with pytest.raises(TargetError, match="there is no such file, or it cannot be read"):
        pack(load_recipe(folder / "r.yaml"))


def test_what_cannot_travel_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "base").mkdir()
    with pytest.raises(TargetError, match=r"the base model is a folder of this machine: \./base"):
        (folder / "r.yaml").write_text("name: t\nmodel: {source: ./base}\ndata: {train: rows.jsonl}\n")
        pack(load_recipe(folder / "r.yaml"))
    with pytest.raises(TargetError, match="the dataset is a folder of this machine"):
        packed(folder, "{type: dataset, path: ./base}")
    monkeypatch.setattr(packing, "LIMIT_MIB", 0)
    with pytest.raises(TargetError, match="at most 0 travel with a job"):
        packed(folder, "rows.jsonl")
