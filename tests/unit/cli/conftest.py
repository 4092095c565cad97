"""Run the command line as a user does, in an empty folder."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith.cli import main

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tunesmith(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `tunesmith ARGUMENTS` from its entry point, in this process; the current folder is an empty one."""
    monkeypatch.chdir(tmp_path)
    for name in ("TUNESMITH_HOME", "TUNESMITH_DATABASE_URL", "TUNESMITH_ARTIFACTS"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str, exit_code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
            patch.setattr(sys, "argv", ["tunesmith", *arguments])
            patch.setattr(sys, "stdin", io.StringIO())
            for name, value in environment.items():
                patch.setenv(name, value)
            main()
        out, err = capsys.readouterr()
        assert (ended.value.code or 0) == exit_code, f"exit {ended.value.code}\n{out}\n{err}"
        return subprocess.CompletedProcess(arguments, exit_code, out, err)

    return run


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The start of a command line that runs `tunesmith` in a process of its own, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return [sys.executable, "-c", "from tunesmith.cli import main; main()"]
