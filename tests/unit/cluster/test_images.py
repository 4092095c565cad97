"""The Dockerfiles, as far as they can be held without Docker: pinned, not root, built from files that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PINS = {"Dockerfile": "constraints/gpu.txt", "Dockerfile.cpu": "constraints/cpu.txt"}


def instructions(name: str) -> list[tuple[str, str]]:
    """Keyword and arguments of each instruction, lines joined, comments left out."""
    lines = (ROOT / "cluster" / name).read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#")).replace("\\\n", " ")
    return [
        (word, " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)
    ]


@pytest.mark.parametrize("name", PINS)
def test_the_base_is_pinned_and_the_user_is_not_root(name: str) -> None:
    found = instructions(name)
    assert {word for word, _ in found} <= {"FROM", "RUN", "WORKDIR", "COPY", "USER"}
    assert [rest for word, rest in found if word == "FROM"] == ["python:3.11.13-slim-bookworm"]
    [user] = [rest for word, rest in found if word == "USER"]
    assert user == "tunesmith"
    assert found.index(("USER", user)) > max(number for number, (word, _) in enumerate(found) if word == "RUN")


@pytest.mark.parametrize("name", PINS)
def test_it_is_built_from_files_that_exist_and_are_in_the_build(name: str) -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [path for word, rest in instructions(name) if word == "COPY" for path in rest.split()[:-1]]
    assert sorted(copied) == sorted(allowed)
    assert [path for path in copied if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", PINS)
def test_what_is_installed_is_what_the_makefile_installs(name: str) -> None:
    """The pins of that kind of machine, extras that exist, torch named for a CPU; no index, no secret."""
    [line] = [rest for word, rest in instructions(name) if word == "RUN" and "pip install" in rest]
    words = shlex.split(line)
    assert words[words.index("-c") + 1] == PINS[name]
    project = (ROOT / "pyproject.toml").read_text()
    [extras] = re.findall(r"^\.\[([a-z,-]+)\]$", words[-1])
    assert [extra for extra in extras.split(",") if not re.search(rf"^{extra} = \[", project, re.MULTILINE)] == []
    torch = re.search(r"^torch==.*$", (ROOT / PINS[name]).read_text(), re.MULTILINE)
    assert torch
    assert ([torch[0]] if name == "Dockerfile.cpu" else []) == words[words.index("-c") + 2 : -1]
    assert not re.search(
        r"://|index|token|secret|password|key", "\n".join(rest for _, rest in instructions(name)), re.I
    )
