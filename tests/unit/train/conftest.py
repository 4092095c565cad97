"""The tiny model and dataset versions, written once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.train import tiny

MakeJob = Callable[..., Any]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """13 training rows, 5 validation rows, with weights."""
    return tiny.write_dataset(
        tmp_path_factory.mktemp("data") / "tiny",
        train=tiny.make_rows(1, 13, weighted=True),
        validation=tiny.make_rows(2, 5, weighted=True),
    )


@pytest.fixture
def make_job(tmp_path: Path, tiny_model: Path, tiny_dataset: Path) -> MakeJob:
    """`make_job(train={...}, run="name", dataset=..., model=..., method={...})`: a job in the test's folder."""

    def make(
        train: dict[str, Any] | None = None,
        *,
        run: str = "run",
        model: Path | None = None,
        dataset: Path | None = None,
        **sections: Any,
    ) -> Any:
        return tiny.make_job(tmp_path / run, model or tiny_model, dataset or tiny_dataset, train, **sections)

    return make
