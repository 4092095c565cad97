"""Functions of the Python standard library, with the first paragraph of their docstring."""

from __future__ import annotations

import ast
import gc
import hashlib
import inspect
import logging
import platform
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from tunesmith.data.example import Origin
from tunesmith.data.sources.row import Row
from tunesmith.errors import DataError
from tunesmith.recipe.sources import PythonDocstringsSource

logger = logging.getLogger(__name__)

Function = ast.FunctionDef | ast.AsyncFunctionDef

STATEMENT_LISTS = ("body", "handlers", "cases", "orelse", "finalbody")
"""Fields of syntax nodes that hold further statements, in the order of the source."""

NOT_THE_LIBRARY = {
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idle_test",
    "lib-dynload",
    "_bundled",
    "__pycache__",
}
"""Folders with the code of others, with tests, and with compiled files."""

GENERATED = {"encodings", "pydoc_data"}
"""Folders whose files were written by a program."""


@dataclass(frozen=True)
class Collected:
    """What was found: the rows in the order of files and lines, and what was left out."""

    rows: list[Row]
    num_duplicates: int
    unreadable_files: list[str]


def read(source: PythonDocstringsSource, folder: Path) -> Iterator[Row]:
    """Yield the rows in the order of files and lines; what was left out is logged."""
    found = collect(source, library_folder())
    if found.num_duplicates:
        logger.info(
            "python-docstrings: %d functions left out, their code is that of an earlier one", found.num_duplicates
        )
    for name in found.unreadable_files:
        logger.warning("python-docstrings: %s cannot be read as Python and was left out", name)
    if not found.rows:
        raise DataError(
            "no function of the standard library fits", where=describe(source), fix="widen the length limits"
        )
    yield from found.rows


def fingerprint(source: PythonDocstringsSource, folder: Path) -> str:
    """Hash the Python version, and the names and contents of the files that are read."""
    library = library_folder()
    total = hashlib.sha256(platform.python_version().encode())
    for name in _library_files(library):
        total.update(f"\n{name} ".encode() + hashlib.sha256((library / name).read_bytes()).digest())
    return total.hexdigest()


def describe(source: PythonDocstringsSource) -> str:
    """Name the source as the recipe does."""
    return source.type


def library_folder() -> Path:
    """Return the folder of the standard library of the Python that runs."""
    return Path(sysconfig.get_path("stdlib"))


@lru_cache(maxsize=2)
def collect(source: PythonDocstringsSource, library: Path) -> Collected:
    """Take the functions and summaries of fitting length out of every file of `library`.

    Of functions with the same code only the first is kept: a copy in the test set would tell the answer. Parsing takes
    seconds, so the few megabytes found are kept for the next reader in this process.
    """
    rows: list[Row] = []
    seen: set[str] = set()
    num_duplicates = 0
    unreadable = []
    for name in _library_files(library):
        try:
            with _garbage_collection_paused():
                functions = _functions(library / name)
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            unreadable.append(name)
            continue
        for line, qualified_name, code, summary in functions:
            if not (source.min_summary_chars <= len(summary) <= source.max_summary_chars):
                continue
            if not (source.min_code_chars <= len(code) <= source.max_code_chars):
                continue
            if code in seen:
                num_duplicates += 1
                continue
            seen.add(code)
            module = ".".join(PurePosixPath(name).with_suffix("").parts).removesuffix(".__init__")
            values = {"code": code, "summary": summary, "module": module, "name": qualified_name}
            rows.append(Row(values, Origin(f"{source.type}/{name}", line)))
    return Collected(rows, num_duplicates, unreadable)


def _library_files(library: Path) -> list[str]:
    """List the library's own Python files, as sorted relative names with slashes."""
    names = (path.relative_to(library) for path in library.rglob("*.py"))
    return sorted(
        name.as_posix()
        for name in names
        if NOT_THE_LIBRARY.isdisjoint(name.parts)
        and name.parts[0] not in GENERATED
        and not name.name.startswith("_sysconfigdata")
    )


def _functions(path: Path) -> list[tuple[int, str, str, str]]:
    """Return line, qualified name, code and summary of each function with a docstring and something besides it."""
    with tokenize.open(path) as stream:  # goes by the file's own encoding line
        text = stream.read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old escapes in the library are not the user's concern
        tree = ast.parse(text)
    lines = text.splitlines(keepends=True)
    found = []
    for names, function in _walk(tree, ()):
        docstring = ast.get_docstring(function, clean=False)
        if docstring is not None and len(function.body) > 1:
            summary = " ".join(inspect.cleandoc(docstring).partition("\n\n")[0].split())
            found.append((function.lineno, ".".join(names), _code(function, lines), summary))
    return found


@contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    """Hold the collector off while a syntax tree is built: looking for cycles in one costs a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _walk(node: ast.AST, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Function]]:
    """Yield functions with their qualified names; expressions are not entered, they hold none."""
    for part in STATEMENT_LISTS:
        for child in getattr(node, part, ()):
            if isinstance(child, Function):
                yield (*names, child.name), child
            inner = (*names, child.name) if isinstance(child, Function | ast.ClassDef) else names
            yield from _walk(child, inner)


def _code(function: Function, lines: list[str]) -> str:
    """Return the function's source, decorators and comments included, without docstring and outer indentation."""
    docstring, after = function.body[0], function.body[1]
    first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
    if docstring.lineno == function.lineno or after.lineno == docstring.end_lineno:
        # Docstring and code share a line: the source cannot be cut, so it is written anew.
        bare = type(function)(**{**dict(ast.iter_fields(function)), "body": function.body[1:]})
        return ast.unparse(ast.copy_location(bare, function)).strip()
    kept = lines[first - 1 : docstring.lineno - 1] + lines[docstring.end_lineno : function.end_lineno]
    indent = " " * function.col_offset
    return "".join(line.removeprefix(indent) for line in kept).strip()
