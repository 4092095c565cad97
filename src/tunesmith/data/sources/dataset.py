"""A dataset of the Hugging Face hub, or a folder that `Dataset.save_to_disk` wrote."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunesmith.data.example import BadRow, Origin
from tunesmith.data.sources.row import Row
from tunesmith.errors import DataError, did_you_mean
from tunesmith.recipe.sources import DatasetSource

BATCH_ROWS = 512
HASH_BYTES = 1 << 20


def read(source: DatasetSource, folder: Path) -> Iterator[Row | BadRow]:
    """Yield the rows of one split, numbered from 1; class labels come as their names.

    Raises `DataError` when the dataset or the split cannot be had.
    """
    dataset = _load(source, folder)
    if not len(dataset):
        raise DataError(f"split '{source.split}' has no rows", where=source.path, fix="read another split")
    names = _class_names(dataset.features)
    name = describe(source)
    number = 0
    for batch in dataset.with_format("arrow").iter(batch_size=BATCH_ROWS):
        for values in batch.to_pylist():
            number += 1
            origin = Origin(name, number)
            for column, classes in names.items():
                index = values[column]
                if index is not None and not 0 <= index < len(classes):
                    yield _unlabelled(origin, column, index)
                    break
                values[column] = None if index is None else classes[index]
            else:
                yield Row(values, origin)


def fingerprint(source: DatasetSource, folder: Path) -> str:
    """Hash the names, the types and the Arrow files of the split that is read.

    The library's own fingerprint is not used: it changes with the time at which files were cached.
    """
    dataset = _load(source, folder)
    total = hashlib.sha256(repr(sorted(dataset.features.items())).encode())
    for cached in dataset.cache_files:
        with Path(cached["filename"]).open("rb") as stream:
            while block := stream.read(HASH_BYTES):
                total.update(block)
    return total.hexdigest()


def describe(source: DatasetSource) -> str:
    """Name dataset, configuration and split."""
    configuration = f"/{source.name}" if source.name else ""
    return f"{source.path}{configuration}[{source.split}]"


def _load(source: DatasetSource, folder: Path) -> Any:
    from datasets import DatasetDict, load_dataset, load_from_disk

    saved = folder / Path(source.path).expanduser()
    try:
        if (saved / "state.json").is_file() or (saved / "dataset_dict.json").is_file():
            loaded = load_from_disk(str(saved))
        elif saved.is_dir():
            fix = f"name its files as a source of type file, such as {source.path}/*.parquet"
            raise DataError("the folder holds no dataset written by save_to_disk", where=source.path, fix=fix)
        else:
            return load_dataset(source.path, source.name, split=source.split, revision=source.revision)
    except DataError:
        raise
    except Exception as error:  # the library raises more than twenty kinds, some of them plain Exception
        raise _not_loaded(source, error) from error
    if not isinstance(loaded, DatasetDict):
        return loaded
    if source.split not in loaded:
        fix = did_you_mean(source.split, loaded)
        raise DataError(f"the dataset has no split '{source.split}'", where=source.path, fix=fix)
    return loaded[source.split]


def _not_loaded(source: DatasetSource, error: Exception) -> DataError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    offline = isinstance(error, ConnectionError | OSError) and not isinstance(error, FileNotFoundError)
    fix = (
        "check the network, or save the dataset elsewhere with save_to_disk and name that folder"
        if offline
        else "check the id, `name`, `split` and `revision`; a private dataset needs HF_TOKEN in the environment"
    )
    return DataError(f"the dataset cannot be loaded: {lines[0].rstrip('.')}", where=describe(source), fix=fix)


def _class_names(features: Any) -> dict[str, list[str]]:
    """Return the names of the classes of each column that holds them as numbers."""
    from datasets import ClassLabel

    return {column: list(feature.names) for column, feature in features.items() if isinstance(feature, ClassLabel)}


def _unlabelled(origin: Origin, column: str, index: int) -> BadRow:
    return BadRow(
        origin, f"column '{column}' says {index}, which is not a class", "give the row a label, or take it out"
    )
