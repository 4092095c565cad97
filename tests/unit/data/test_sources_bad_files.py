"""The table of files and rows that cannot be read, with the exact sentence for each."""

from __future__ import annotations

import bz2
import codecs
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunesmith.data.example import BadRow
from tunesmith.data.sources import read_rows
from tunesmith.data.sources.file_formats import lines
from tunesmith.data.sources.row import Row
from tunesmith.errors import DataError
from tunesmith.recipe.sources import FileSource

GOOD = b'{"a": "b"}\n'
ONE_OBJECT = "write each row as one JSON object on a line of its own"
AN_ARRAY = "the file looks like a JSON array: set file_format to json"
QUOTE = 'put fields that hold commas, quotes or line breaks between quotes, and write a quote inside one as ""'
UTF8 = "write the file again as UTF-8"
DAMAGED = "the file is damaged, or not UTF-8: write it again as UTF-8"
ROWS = "put rows into it, or take it out of the recipe"
NOT_JSON = "the file is not the JSON expected here"
FORMATS = "set file_format to one of jsonl, json, csv, parquet"
A_NAME = "Expecting property name enclosed in double quotes"
EXPECTED = "write an array of objects, or an object whose 'data' is such an array"

BAD_ROWS: list[tuple[str, bytes, int, str, str]] = [
    (
        "a.jsonl",
        GOOD + b"{'a': 'b'}\n",
        2,
        f"the row is not JSON: {A_NAME} (column 2)",
        ONE_OBJECT,
    ),
    ("a.jsonl", GOOD + b'{"a": "b"', 2, "the row is not JSON: Expecting ',' delimiter (column 10)", ONE_OBJECT),
    ("a.jsonl", b'{"a": 1}{"a": 2}\n', 1, "the row is not JSON: Extra data (column 9)", ONE_OBJECT),
    ("a.jsonl", b'[\n{"a": 1}\n]\n', 1, "the row is not JSON: Expecting value (column 2)", AN_ARRAY),
    ("a.jsonl", b'[{"a": 1}]\n', 1, "the row is an array, not an object", AN_ARRAY),
    ("a.jsonl", GOOD + b"\n\n[1]\n", 4, "the row is an array, not an object", ONE_OBJECT),
    ("a.jsonl", GOOD + b'"x"\n', 2, "the row is a string, not an object", ONE_OBJECT),
    ("a.jsonl", GOOD + b"null\n", 2, "the row is null, not an object", ONE_OBJECT),
    ("a.jsonl", GOOD + b'{"a": "caf\xe9"}\n', 2, "byte 11 of the line is not UTF-8 (0xe9)", UTF8),
    ("a.jsonl", GOOD + b'{"a": "\0"}\n', 2, "the row holds NUL bytes", DAMAGED),
    ("a.jsonl", GOOD + b'{"a": ' + b"[" * 100_000 + b"\n", 2, "the row is nested too deeply", ONE_OBJECT),
    (
        "a.jsonl",
        GOOD + b'{"a": ' + b"9" * 5000 + b"}\n",
        2,
        "the row holds a number with too many digits",
        "write the number as a string",
    ),
    (
        "a.jsonl",
        b'{"a": "\\ud83d"}\n',
        1,
        "the row holds half of a surrogate pair (\\ud800 to \\udfff), which is not a character",
        "mend the text where it was cut, and write the row again",
    ),
    ("a.json", b'[{"a": 1}, [2]]', 2, "the row is an array, not an object", "write each row as an object"),
    ("a.json", b'[{"a": "caf\xe9"}]', 1, "the row is not UTF-8", UTF8),
    ("a.csv", b"a,b\n1,2\n3\n", 3, "the row has 1 field where the header has 2", QUOTE),
    ("a.csv", b"a,b\n1,2,3\n", 2, "the row has 3 fields where the header has 2", QUOTE),
    ("a.csv", b'a,b\n"x\ny",2,3\n4,5\n', 2, "the row has 3 fields where the header has 2", QUOTE),
    ("a.csv", b'a,b\n"x"y,2\n', 2, "the row cannot be read as CSV: text follows a closing quote", QUOTE),
    (
        "a.csv",
        b'a,b\n1,2\n"x,2\n3,4\n',
        3,
        "lines 3 to 4 cannot be read as CSV: a quote is opened and never closed",
        QUOTE,
    ),
    ("a.csv", b"a,b\n1,caf\xe9\n", 2, "byte 6 of the line is not UTF-8 (0xe9)", UTF8),
    ("a.csv", b"a,b\n1,\0\n", 2, "the row holds NUL bytes", DAMAGED),
]


def read(folder: Path, name: str, **settings: str) -> list[Row | BadRow]:
    return list(read_rows(FileSource(path=name, **settings), folder))


@pytest.mark.parametrize(("name", "content", "line", "what", "fix"), BAD_ROWS)
def test_a_row_that_cannot_be_read_is_named_by_file_and_line(
    tmp_path: Path, name: str, content: bytes, line: int, what: str, fix: str
) -> None:
    (tmp_path / name).write_bytes(content)
    bad = [row for row in read(tmp_path, name) if isinstance(row, BadRow)]
    assert (bad[0].what, bad[0].fix, str(bad[0].origin)) == (what, fix, f"{name}:{line}")


BAD_FILES: list[tuple[str, bytes, str]] = [
    ("a.jsonl", b"", f"a.jsonl: the file is empty\n  fix: {ROWS}"),
    ("a.jsonl", b"\n \n", f"a.jsonl: the file has no rows\n  fix: {ROWS}"),
    ("a.jsonl", codecs.BOM_UTF8, f"a.jsonl: the file has no rows\n  fix: {ROWS}"),
    ("a.jsonl", '{"a": 1}'.encode("utf-16"), f"a.jsonl: the file is UTF-16, not UTF-8\n  fix: {UTF8}"),
    ("a.csv", b"", f"a.csv: the file is empty\n  fix: {ROWS}"),
    ("a.csv", b"\n\n", "a.csv: the file has no header\n  fix: name the columns in its first line"),
    ("a.csv", b"a,b\n", f"a.csv: the file has no rows\n  fix: {ROWS}"),
    ("a.csv", b"a,a\n1,2\n", "a.csv:1: the header names 'a' twice\n  fix: give each column a name of its own"),
    ("a.csv", b"a,\xe9\n1,2\n", f"a.csv:1: byte 3 of the line is not UTF-8 (0xe9)\n  fix: {UTF8}"),
    ("a.csv", b'"a"b,c\n1,2\n', f"a.csv:1: the header is not CSV: ',' expected after '\"'\n  fix: {QUOTE}"),
    ("a.json", b"[]", f"a.json: the file has no rows\n  fix: {ROWS}"),
    ("a.json", b'{"a": 1}', f"a.json: the file is one object without 'data'\n  fix: {EXPECTED}"),
    ("a.json", b'{"a": 1}\n{"a": 2}', "a.json: the file is one object without 'data'\n  fix: set file_format to jsonl"),
    (
        "a.json",
        b'{"data": {}}',
        f"a.json:1: {NOT_JSON}: 'data' is not an array\n  fix: {EXPECTED}",
    ),
    (
        "a.json",
        b'[{"a": 1},\n\n {"a": }]',
        f"a.json:3: {NOT_JSON}: Expecting value\n  fix: {EXPECTED}",
    ),
    (
        "a.json",
        b'[{"a": 1}\n {"a": 2}]',
        f"a.json:2: {NOT_JSON}: expected ',' or ']' after item 1, found '{{'\n  fix: {EXPECTED}",
    ),
    (
        "a.json",
        b'[{"a": 1}',
        f"a.json:1: {NOT_JSON}: expected ',' or ']' after item 1, found the end of the file\n  fix: {EXPECTED}",
    ),
    (
        "a.json",
        b"hello",
        f"a.json:1: {NOT_JSON}: expected '[' or '{{', found 'h'\n  fix: {EXPECTED}",
    ),
    (
        "a.json",
        b"\n",
        f"a.json:2: {NOT_JSON}: expected '[' or '{{', found the end of the file\n  fix: {EXPECTED}",
    ),
    (
        "a.parquet",
        b"x",
        "a.parquet: cannot be read as Parquet: "
        "Parquet file size is 1 bytes, smaller than the minimum file footer (8 bytes)\n"
        "  fix: fetch or write the file again",
    ),
    (
        "a.parquet.gz",
        b"x",
        "a.parquet.gz: a Parquet file cannot be read from inside a .gz file\n"
        "  fix: unpack it: Parquet files are compressed inside",
    ),
    (
        "a.jsonl.gz",
        GOOD,
        "a.jsonl.gz: cannot be unpacked: Not a gzipped file (b'{\"')\n"
        "  fix: fetch the file again, or unpack it by hand to see what is wrong; is it a .gz file at all?",
    ),
    (
        "a.jsonl.gz",
        gzip.compress(GOOD * 1000)[:-12],
        "a.jsonl.gz: cannot be unpacked: Compressed file ended before the end-of-stream marker was reached\n"
        "  fix: fetch the file again, or unpack it by hand to see what is wrong; is it a .gz file at all?",
    ),
    (
        "a.jsonl.bz2",
        bz2.compress(GOOD * 1000)[:-12],
        "a.jsonl.bz2: cannot be unpacked: Compressed file ended before the end-of-stream marker was reached\n"
        "  fix: fetch the file again, or unpack it by hand to see what is wrong; is it a .bz2 file at all?",
    ),
    (
        "a.jsonl.zst",
        GOOD,
        "a.jsonl.zst: cannot be unpacked: ZSTD decompress failed: Unknown frame descriptor\n"
        "  fix: fetch the file again, or unpack it by hand to see what is wrong; is it a .zst file at all?",
    ),
    (
        "rows.xlsx",
        b"PK",
        f"rows.xlsx: cannot tell the file's format from the ending '.xlsx'\n  fix: {FORMATS}",
    ),
    (
        "rows",
        b"x",
        f"rows: cannot tell the file's format from the ending 'rows'\n  fix: {FORMATS}",
    ),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES)
def test_a_file_that_cannot_be_read_gets_a_sentence(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(tmp_path, name)
    assert str(caught.value) == message


def test_a_path_that_leads_nowhere_names_the_nearest_file(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    for name in ("train.jsonl", "test.jsonl"):
        (tmp_path / "rows" / name).write_bytes(GOOD)
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "state.json").write_bytes(b"{}")
    messages = {
        "rows/trian.jsonl": "rows/trian.jsonl: no such file\n  fix: did you mean train.jsonl or test.jsonl?",
        "rows/*.jsnol": "rows/*.jsnol: no file matches\n  fix: did you mean test.jsonl or train.jsonl?",
        "rows/x": f"rows/x: no such file\n  fix: correct the path; {tmp_path}/rows holds test.jsonl, train.jsonl",
        "rowz/train.jsonl": f"rowz/train.jsonl: no such file\n  fix: correct the path; {tmp_path} holds rows, saved",
        "rows": "rows: this is a folder, not a file\n  fix: name the files in it, such as rows/*.jsonl",
        "saved": "saved: this is a folder, not a file\n"
        "  fix: it holds a saved dataset: write {type: dataset, path: saved}",
        "a\0b": "a\\0b: the path holds a NUL character\n  fix: take it out of the recipe",
        "nope://x/rows.jsonl": "nope://x/rows.jsonl: cannot be read: Protocol not known: nope\n"
        "  fix: check the address, the network, and the credentials in the environment",
    }
    for path, message in messages.items():
        with pytest.raises(DataError) as caught:
            read(tmp_path, path)
        assert str(caught.value) == message


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that opens and then fails, as Linux has")
def test_a_disk_that_fails_while_it_is_read_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, "/proc/self/mem", file_format="jsonl")
    message = "/proc/self/mem: cannot be read: Input/output error\n  fix: check the disk and the file's permissions"
    assert str(caught.value) == message


def test_a_row_above_the_limit_is_passed_over_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 64)
    huge = json.dumps({"a": "x" * 1000}).encode() + b"\n"
    (tmp_path / "a.jsonl").write_bytes(GOOD + huge + GOOD)
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,2\n" + b"x" * 1000 + b",y\n3,4\n")
    for name, line in (("a.jsonl", 2), ("a.csv", 3)):
        first, bad, last = read(tmp_path, name)
        assert isinstance(bad, BadRow)
        assert (bad.what, bad.fix, bad.origin.line) == (lines.TOO_LONG, lines.TOO_LONG_FIX, line)
        assert isinstance(first, Row)
        assert isinstance(last, Row)
        assert last.origin.line == line + 1


def test_the_split_column_must_name_a_split(tmp_path: Path) -> None:
    rows = [{"a": 1, "part": "train"}, {"a": 1, "part": "dev"}, {"a": 1}, {"a": 1, "part": "rest"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    train, dev, missing, unknown = read(tmp_path, "a.jsonl", split="part")
    assert (train.split, dev.split) == ("train", "validation")  # type: ignore[union-attr]
    assert missing.what == "the split column 'part' is missing"  # type: ignore[union-attr]
    assert unknown.what == "the split column 'part' says 'rest'"  # type: ignore[union-attr]


@given(
    st.sampled_from(["a.jsonl", "a.json", "a.csv"]),
    st.binary(max_size=200) | st.text('{}[]",:\\u\n ad0', max_size=60).map(str.encode),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_crash_a_reader_and_every_line_is_accounted_for(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    try:
        rows = read(tmp_path, name)
    except DataError:
        return
    numbers = [row.origin.line for row in rows]
    assert numbers == sorted(set(numbers))
    if name == "a.jsonl":
        written = content.removeprefix(codecs.BOM_UTF8).split(b"\n")
        assert numbers == [number for number, line in enumerate(written, 1) if line.strip()]
