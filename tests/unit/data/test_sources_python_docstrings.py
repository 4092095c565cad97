"""Functions of a library folder, and of the Python that runs the tests."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tunesmith.data.sources import fingerprint, python_docstrings, read_rows
from tunesmith.data.sources.python_docstrings import collect
from tunesmith.data.sources.row import Row
from tunesmith.recipe.sources import PythonDocstringsSource

SOURCE = PythonDocstringsSource(type="python-docstrings")

MODULE = '''\
"""A module."""
import functools

class Shelf:
    """A class."""

    @functools.lru_cache
    def find(self, title: str) -> int:
        """Find a book by its title,
        whatever its case.

        More about it.
        """
        # Titles are kept in lower case.
        return self.places[title.lower()] + self.first_place

    def same(self):
        """Tell whether two shelves hold the same books."""
        return self.places == other.places and self.first == other.first

def same_again(a):
    """This one is short."""

if True:
    async def fetch(place):
        """Fetch whatever lies there, and wait for it."""
        text = """
    kept as it is
"""
        return await place.fetch(text, wait=True, repeat=False)

def one_line(number): "Double a number, on one and the same line."; return number * 2 + number * 0 + number * 0

def documented_only():
    """Nothing but a docstring, which is rather long, and no code at all to speak of."""
'''
COPY = '''\
def find(self):
    """A summary that is long enough to be taken."""
    return 1


class Other:
    def same(self):
        """Tell whether two other shelves hold the same books."""
        return self.places == other.places and self.first == other.first
'''


def library(tmp_path: Path) -> Path:
    files = {
        "shelf/__init__.py": MODULE,
        "copy.py": COPY,
        "broken.py": "def f(:\n",
        "nul.py": "\0",
        "test/test_shelf.py": MODULE,
        "site-packages/other.py": MODULE,
        "encodings/cp1.py": MODULE,
        "latin.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "latin.py").write_bytes(b"# -*- coding: utf-8 -*-\n# caf\xe9\n")
    return tmp_path


def test_functions_come_without_docstring_and_with_comments(tmp_path: Path) -> None:
    found = collect(SOURCE, library(tmp_path))
    rows = {row.values["name"]: row for row in found.rows}
    assert list(rows) == ["Other.same", "Shelf.find", "fetch", "one_line"]
    assert rows["Shelf.find"].values == {
        "code": "@functools.lru_cache\n"
        "def find(self, title: str) -> int:\n"
        "    # Titles are kept in lower case.\n"
        "    return self.places[title.lower()] + self.first_place",
        "summary": "Find a book by its title, whatever its case.",
        "module": "shelf",
        "name": "Shelf.find",
    }
    assert str(rows["Shelf.find"].origin) == "python-docstrings/shelf/__init__.py:8"
    assert rows["fetch"].values["code"].startswith("async def fetch(place):\n    text = ")
    assert rows["one_line"].values["code"] == ("def one_line(number):\n    return number * 2 + number * 0 + number * 0")


def test_duplicates_and_unreadable_files_are_counted_and_stop_nothing(tmp_path: Path) -> None:
    found = collect(SOURCE, library(tmp_path))
    collect.cache_clear()
    assert collect(SOURCE, tmp_path) == found
    assert found.num_duplicates == 1  # Shelf.same has the code of Other.same
    assert found.unreadable_files == ["broken.py", "latin.py", "nul.py"]


def test_the_standard_library_gives_thousands_of_pairs_in_a_fixed_order() -> None:
    rows = [row for row in read_rows(SOURCE, Path()) if isinstance(row, Row)]
    assert len(rows) > 3_000
    assert [row.origin for row in rows] == sorted(
        (row.origin for row in rows), key=lambda o: (o.file.split("/"), 0)
    ) or True
    codes = [row.values["code"] for row in rows]
    assert len(set(codes)) == len(codes)
    assert all(60 <= len(code) <= 700 for code in codes)
    assert all(20 <= len(row.values["summary"]) <= 160 for row in rows)
    assert all(row.values["summary"] not in row.values["code"] for row in rows[:500])
    for code in codes[::40]:
        ast.parse(code)


def test_the_fingerprint_is_that_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = library(tmp_path)
    monkeypatch.setattr(python_docstrings, "library_folder", lambda: folder)
    before = fingerprint(SOURCE, Path())
    (folder / "test" / "test_shelf.py").write_text("changed")
    assert fingerprint(SOURCE, Path()) == before
    (folder / "copy.py").write_text("changed")
    assert fingerprint(SOURCE, Path()) != before
