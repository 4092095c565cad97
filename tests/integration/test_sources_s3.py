"""Rows behind `s3://`, over HTTP from a server that speaks the protocol."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from pyarrow.fs import FileSystem

from tunesmith.data.example import Example
from tunesmith.data.read import read_examples
from tunesmith.data.sources import fingerprint
from tunesmith.errors import DataError
from tunesmith.recipe.data import DataSection
from tunesmith.recipe.sources import FileSource

ROWS = [{"prompt": f"question {number}", "completion": f"answer {number}"} for number in range(2_000)]
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


@pytest.fixture
def bucket(s3_bucket: str) -> str:
    store, root = FileSystem.from_uri(f"s3://{s3_bucket}")
    objects = {
        "a/part-1.jsonl": JSONL,
        "a/part-2.jsonl": b'{"prompt": "x", "completion": "y"}\n',
        "a/with space%20#1.jsonl.gz": gzip.compress(JSONL),
    }
    for name, content in objects.items():
        with store.open_output_stream(f"{root}/{name}", compression=None) as stream:
            stream.write(content)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), f"{root}/a/rows.parquet", filesystem=store)
    return s3_bucket


def read(path: str) -> list[Example]:
    found = list(read_examples(DataSection.model_validate({"train": path}), Path("/nowhere"), "train"))
    assert [row for row in found if not isinstance(row, Example)] == []
    return found  # type: ignore[return-value]


def test_objects_and_globs_are_read_in_order(bucket: str) -> None:
    assert [example.reference for example in read(f"s3://{bucket}/a/part-1.jsonl")] == [
        row["completion"] for row in ROWS
    ]
    both = read(f"s3://{bucket}/a/part-?.jsonl")
    assert len(both) == 2_001
    assert str(both[-1].origin) == f"s3://{bucket}/a/part-2.jsonl:1"


def test_parquet_and_packed_objects_with_hostile_names_are_read(bucket: str) -> None:
    for name in ("rows.parquet", "with space%20#1.jsonl.gz"):
        found = read(f"s3://{bucket}/a/{name}")
        assert [example.reference for example in found] == [row["completion"] for row in ROWS]
        assert str(found[6].origin) == f"s3://{bucket}/a/{name}:7"


def test_a_fingerprint_is_the_same_on_disk_and_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "part-1.jsonl").write_bytes(JSONL)
    there = fingerprint(FileSource(path=f"s3://{bucket}/a/part-1.jsonl"), tmp_path)
    assert there == fingerprint(FileSource(path="part-1.jsonl"), tmp_path)


def test_mistakes_get_a_sentence(bucket: str) -> None:
    messages = {
        f"s3://{bucket}/a/prat-1.jsonl": f"s3://{bucket}/a/prat-1.jsonl: no such file\n"
        "  fix: did you mean part-1.jsonl or part-2.jsonl?",
        f"s3://{bucket}/a/*.csv": f"s3://{bucket}/a/*.csv: no file matches\n  fix: correct the path; "
        f"s3://{bucket}/a holds part-1.jsonl, part-2.jsonl, rows.parquet, with space%20#1.jsonl.gz",
        f"s3://{bucket}/a": f"s3://{bucket}/a: this is a folder, not a file\n"
        f"  fix: name the files in it, such as s3://{bucket}/a/*.jsonl",
        "s3://no-such-bucket/a.jsonl": "s3://no-such-bucket/a.jsonl: no such file\n"
        "  fix: correct the path; s3://no-such-bucket holds nothing",
    }
    for path, message in messages.items():
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(caught.value) == message


def test_a_server_that_is_not_there_gets_a_sentence(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(DataError) as caught:
        read("s3://bucket/a.jsonl")
    message = str(caught.value)
    assert message.startswith("s3://bucket/a.jsonl: cannot be read: ")
    assert message.endswith("\n  fix: check the address, the network, and the credentials in the environment")
