"""Datasets saved by the Hugging Face library."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from tunesmith.data.example import BadRow
from tunesmith.data.read import read_examples
from tunesmith.data.sources import fingerprint, read_rows
from tunesmith.data.sources.row import Row
from tunesmith.errors import DataError
from tunesmith.recipe.data import DataSection
from tunesmith.recipe.sources import DatasetSource

FEATURES = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    train = Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=FEATURES)
    test = Dataset.from_dict({"text": ["c"], "label": [-1]}, features=FEATURES)
    train.save_to_disk(str(tmp_path / "one"))
    DatasetDict({"train": train, "test": test}).save_to_disk(str(tmp_path / "two"))
    (tmp_path / "none").mkdir()
    return tmp_path


def test_saved_rows_are_numbered_and_class_labels_come_as_names(folder: Path) -> None:
    expected = [
        ("one[train]:1", {"text": "a", "label": "yes"}),
        ("one[train]:2", {"text": "b", "label": "no"}),
    ]
    rows = list(read_rows(DatasetSource(type="dataset", path="one"), folder))
    assert [(str(row.origin), row.values) for row in rows if isinstance(row, Row)] == expected
    of_two = read_rows(DatasetSource(type="dataset", path="two"), folder)
    assert [row.values for row in of_two if isinstance(row, Row)] == [values for _, values in expected]
    (bad,) = read_rows(DatasetSource(type="dataset", path="two", split="test"), folder)
    assert isinstance(bad, BadRow)
    assert bad.what == "column 'label' says -1, which is not a class"


def test_a_dataset_takes_part_in_format_detection(folder: Path) -> None:
    data = DataSection.model_validate({"train": {"type": "dataset", "path": "one"}})
    assert [example.label for example in read_examples(data, folder, "train")] == ["yes", "no"]  # type: ignore[union-attr]


def test_a_fingerprint_follows_the_content_and_not_the_place(folder: Path) -> None:
    source = DatasetSource(type="dataset", path="one")
    before = fingerprint(source, folder)
    shutil.copytree(folder / "one", folder / "elsewhere" / "one")
    assert fingerprint(source, folder / "elsewhere") == before
    Dataset.from_dict({"text": ["a", "x"], "label": [1, 0]}, features=FEATURES).save_to_disk(str(folder / "three"))
    assert fingerprint(DatasetSource(type="dataset", path="three"), folder) != before


def test_mistakes_get_a_sentence(folder: Path) -> None:
    with pytest.raises(DataError) as no_split:
        list(read_rows(DatasetSource(type="dataset", path="two", split="tset"), folder))
    assert str(no_split.value) == "two: the dataset has no split 'tset'\n  fix: did you mean 'test'?"
    with pytest.raises(DataError) as not_saved:
        list(read_rows(DatasetSource(type="dataset", path="none"), folder))
    assert str(not_saved.value) == (
        "none: the folder holds no dataset written by save_to_disk\n"
        "  fix: name its files as a source of type file, such as none/*.parquet"
    )


def test_a_dataset_that_cannot_be_had_gets_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach 'acme/rows' on the Hub.\nTraceback...")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(DataError) as caught:
        list(read_rows(DatasetSource(type="dataset", path="acme/rows", name="en"), folder))
    assert str(caught.value) == (
        "acme/rows/en[train]: the dataset cannot be loaded: Couldn't reach 'acme/rows' on the Hub\n"
        "  fix: check the network, or save the dataset elsewhere with save_to_disk and name that folder"
    )
