"""A base model behind `s3://`, over HTTP from a server that speaks the protocol."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyarrow.fs import FileSystem

from tests import tiny_models
from tunesmith.errors import ModelError
from tunesmith.models.resolve import ResolvedModel, resolve_model
from tunesmith.recipe.model import ModelSection


def put(bucket: str, folder: Path, place: str) -> None:
    store, root = FileSystem.from_uri(f"s3://{bucket}")
    for path in folder.iterdir():
        with store.open_output_stream(f"{root}/{place}/{path.name}", compression=None) as stream:
            stream.write(path.read_bytes())


def resolve(source: str, tmp_path: Path) -> ResolvedModel:
    return resolve_model(ModelSection(source=source), tmp_path, tmp_path / "cache")


def test_a_model_is_fetched_once_and_again_when_it_changes(s3_bucket: str, tmp_path: Path) -> None:
    folder = tiny_models.save(tmp_path / "mine")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    local = resolve("mine", tmp_path)
    put(s3_bucket, folder, "models/a model#1")
    source = f"s3://{s3_bucket}/models/a model#1"
    found = resolve(source, tmp_path)
    assert found.revision == local.revision
    assert not (found.folder / "pytorch_model.bin").exists()
    stamp = (found.folder / "model.safetensors").stat().st_ctime_ns
    assert resolve(source, tmp_path) == found
    assert (found.folder / "model.safetensors").stat().st_ctime_ns == stamp
    tiny_models.save(folder, num_hidden_layers=1)  # another size: S3 tells times in whole seconds
    put(s3_bucket, folder, "models/a model#1")
    changed = resolve(source, tmp_path)
    assert changed.revision == resolve("mine", tmp_path).revision != found.revision


def test_what_is_not_there_is_a_sentence(s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError) as caught:
        resolve(f"s3://{s3_bucket}/nothing", tmp_path)
    assert str(caught.value) == (
        f"model.source: there is no model at s3://{s3_bucket}/nothing\n"
        "  fix: give the URL of a folder with config.json and .safetensors files; pickled weights are not read"
    )
    with pytest.raises(
        ModelError, match=r"s3://no-such-bucket/m cannot be read: .*The specified bucket does not exist"
    ):
        resolve("s3://no-such-bucket/m", tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match=rf"^model\.source: s3://{s3_bucket}/m cannot be read: "):
        resolve(f"s3://{s3_bucket}/m", tmp_path)
    assert not any((tmp_path / "cache").glob("*"))
