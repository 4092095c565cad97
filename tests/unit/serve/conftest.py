"""A registered version, made once: each test gets a home of its own with a copy of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import tiny_versions
from tunesmith.registry.version import Version
from tunesmith.serve.spec import TOKEN

SECRET = "a-secret-of-the-test"


@pytest.fixture(scope="session")
def registered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Version]:
    """The folder of `tiny@1` with its base, adapter and home."""
    folder = tmp_path_factory.mktemp("registered")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNESMITH_HOME", str(folder / "home"))
        return folder, tiny_versions.register(folder, recipe={"data": {"system": "Be kind."}})


@pytest.fixture
def version(registered: tuple[Path, Version], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Version:
    """`tiny@1` in a home of the test's own."""
    shutil.copytree(registered[0] / "home", tmp_path / "home")
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(TOKEN, SECRET)
    return registered[1]
