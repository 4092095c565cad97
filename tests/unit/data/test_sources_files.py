"""Files of every kind give the same rows, in order, with the place each came from."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from tunesmith.data.example import BadRow, Example
from tunesmith.data.read import read_examples
from tunesmith.data.sources import fingerprint, read_rows
from tunesmith.data.sources.file_formats import json_document
from tunesmith.data.sources.row import Row
from tunesmith.recipe.data import DataSection
from tunesmith.recipe.sources import FileSource

ROWS = [{"text": 'Größe, "weit"\nund 你好 😀', "label": "a"}, {"text": "second", "label": "b;c"}]
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
CSV = 'text,label\n"Größe, ""weit""\nund 你好 😀",a\n\nsecond,b;c\n'.encode()


def read(folder: Path, name: str, **settings: str) -> list[Row]:
    rows = list(read_rows(FileSource(path=name, **settings), folder))
    assert not [row for row in rows if isinstance(row, BadRow)]
    return rows  # type: ignore[return-value]


def parquet(rows: list[dict[str, str]]) -> bytes:
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


def zstandard(content: bytes) -> bytes:
    return pyarrow.compress(content, codec="zstd", asbytes=True)


FILES: list[tuple[str, bytes, list[int]]] = [
    ("a.jsonl", JSONL, [1, 2]),
    ("a.ndjson", JSONL.replace(b"\n", b"\r\n"), [1, 2]),
    ("a.jsonl", b"\xef\xbb\xbf" + JSONL.rstrip(), [1, 2]),
    ("a.JSONL", b"\n" + JSONL, [2, 3]),
    ("a.json", json.dumps(ROWS, indent=2).encode(), [1, 2]),
    ("a.json", b"\xef\xbb\xbf" + json.dumps(ROWS, ensure_ascii=False).encode(), [1, 2]),
    ("a.json", json.dumps({"version": [1.5], "data": ROWS, "more": 1}).encode(), [1, 2]),
    ("a.csv", CSV, [2, 5]),
    ("a.csv", b"\xef\xbb\xbf" + CSV.replace(b"\n", b"\r\n").replace(b'""\r', b'""'), [2, 5]),
    ("a.tsv", CSV.replace(b",a", b"\ta").replace(b"text,", b"text\t").replace(b"d,b", b"d\tb"), [2, 5]),
    ("a.parquet", parquet(ROWS), [1, 2]),
    ("a.jsonl.gz", gzip.compress(JSONL), [1, 2]),
    ("a.jsonl.gz", gzip.compress(JSONL[:30]) + gzip.compress(JSONL[30:]), [1, 2]),
    ("a.csv.bz2", bz2.compress(CSV), [2, 5]),
    ("a.json.xz", lzma.compress(json.dumps(ROWS).encode()), [1, 2]),
    ("a.jsonl.zst", zstandard(JSONL), [1, 2]),
    ("a[1]*.jsonl", JSONL, [1, 2]),
]


@pytest.mark.parametrize(("name", "content", "numbers"), FILES)
def test_a_file_gives_its_rows_and_their_lines(tmp_path: Path, name: str, content: bytes, numbers: list[int]) -> None:
    (tmp_path / name).write_bytes(content)
    rows = read(tmp_path, name)
    assert [row.values for row in rows] == ROWS
    assert [str(row.origin) for row in rows] == [f"{name}:{number}" for number in numbers]


def test_the_file_format_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_bytes(JSONL)
    assert [row.values for row in read(tmp_path, "rows.txt", file_format="jsonl")] == ROWS


def test_a_glob_reads_files_in_the_order_of_their_names_and_keeps_names_as_typed(tmp_path: Path) -> None:
    for name in ("b/2.jsonl", "a/1.jsonl", "a/deep/3.jsonl", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b'{"text": "x"}\n')
    assert [str(row.origin) for row in read(tmp_path, "*/*.jsonl")] == ["a/1.jsonl:1", "b/2.jsonl:1"]
    assert [row.origin.file for row in read(tmp_path, "**/*.jsonl")] == ["a/1.jsonl", "a/deep/3.jsonl", "b/2.jsonl"]
    assert read(tmp_path, f"{tmp_path}/a/*.jsonl")[0].origin.file == f"{tmp_path}/a/1.jsonl"
    assert [row.origin.file for row in read(tmp_path / "b", "../a/?.jsonl")] == ["../a/1.jsonl"]


def test_other_schemes_go_through_fsspec(tmp_path: Path) -> None:
    import fsspec

    with fsspec.open("memory://rows/part-1.jsonl", "wb") as stream:
        stream.write(JSONL)
    assert [row.values for row in read(tmp_path, "memory://rows/part-?.jsonl")] == ROWS
    (tmp_path / "a.jsonl").write_bytes(JSONL)
    assert [row.values for row in read(tmp_path, f"file://{tmp_path}/a.jsonl")] == ROWS


def test_json_is_the_same_however_the_file_falls_into_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"n": number, "text": 'ü "quoted" \\ 😀' * (number % 5), "list": [number, -1.5e-3, None]}
        for number in range(40)
    ]
    content = json.dumps({"first": 12345, "data": rows}, ensure_ascii=False)
    (tmp_path / "a.json").write_text(content, encoding="utf-8")
    for size in (1, 2, 3, 7, 64):
        monkeypatch.setattr(json_document, "CHUNK_BYTES", size)
        assert [row.values for row in read(tmp_path, "a.json")] == rows


def big_jsonl(path: Path) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for number in range(20_000):
            stream.write(json.dumps({"prompt": f"{number} " + "x" * 500, "completion": "y"}) + "\n")


def big_json(path: Path) -> None:
    path.write_text(json.dumps([{"prompt": f"{n} " + "x" * 500, "completion": "y"} for n in range(20_000)]))


def big_parquet(path: Path) -> None:
    rows = [{"prompt": f"{n} " + "x" * 500, "completion": "y"} for n in range(20_000)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=1000)


@pytest.mark.parametrize(("name", "write"), [("a.jsonl", big_jsonl), ("a.json", big_json), ("a.parquet", big_parquet)])
def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    write(tmp_path / name)
    examples = read_examples(DataSection(train=name), tmp_path, "train")  # type: ignore[arg-type]
    assert isinstance(next(examples), Example)
    tracemalloc.start()
    try:
        assert sum(isinstance(example, Example) for example in examples) == 19_999
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 6e6  # the rows together are 10 MB of text, and more as objects


def test_a_fingerprint_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    (first / "a.jsonl").write_bytes(JSONL)
    (first / "b.jsonl").write_bytes(b"{}\n")
    source = FileSource(path="*.jsonl")
    before = fingerprint(source, first)
    assert len(before) == 64
    shutil.copytree(first, tmp_path / "second")
    assert fingerprint(source, tmp_path / "second") == before
    assert fingerprint(FileSource(path=f"{first}/*.jsonl"), tmp_path) == before
    (tmp_path / "second" / "b.jsonl").write_bytes(b"{ }\n")
    assert fingerprint(source, tmp_path / "second") != before
    # The same bytes divided otherwise are other files.
    (first / "a.jsonl").write_bytes(JSONL + b"{}")
    (first / "b.jsonl").write_bytes(b"\n")
    assert fingerprint(source, first) != before


def test_secrets_in_a_url_are_not_shown(tmp_path: Path) -> None:
    from tunesmith.data.sources import describe

    written = FileSource.model_construct(path="s3://KEY:SECRET@bucket/rows.jsonl")  # a recipe refuses it
    assert describe(written) == "s3://bucket/rows.jsonl"


def test_text_that_is_not_utf8_in_parquet_spoils_only_its_own_row(tmp_path: Path) -> None:
    words = pyarrow.array([b"good", b"caf\xe9", b"fine"], pyarrow.binary()).cast(pyarrow.string(), safe=False)
    broken = pyarrow.Array.from_buffers(pyarrow.string(), 3, words.buffers()) if words.null_count else words
    pyarrow.parquet.write_table(pyarrow.table({"text": broken, "label": ["a", "b", "c"]}), tmp_path / "a.parquet")
    first, bad, last = read_rows(FileSource(path="a.parquet"), tmp_path)
    assert isinstance(first, Row)
    assert isinstance(bad, BadRow)
    assert (bad.what, str(bad.origin)) == ("column 'text' is not UTF-8 text", "a.parquet:2")
    assert isinstance(last, Row)
    assert last.values == {"text": "fine", "label": "c"}


def test_banking77_is_read_whole() -> None:
    folder = Path(__file__).parents[3].parent / "shared" / "data" / "banking77"
    if not folder.is_dir():
        pytest.skip("../shared/data/banking77 is not here")
    found = list(read_examples(DataSection(train="train.csv"), folder, "train"))  # type: ignore[arg-type]
    assert len(found) == 10_003
    assert all(isinstance(row, Example) for row in found)
    assert len({row.label for row in found if isinstance(row, Example)}) == 77
