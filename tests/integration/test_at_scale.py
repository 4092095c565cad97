"""Tokenising on Ray Data gives the bytes and the errors of one process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.data.prepared import contents, preparation, write_rows
from tunesmith.data import at_scale, tokenise
from tunesmith.data.prepare import prepare
from tunesmith.errors import DataError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def ray_here() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        root = str(Path(__file__).parents[2])  # the workers unpickle a tokenizer and import the package
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("PYTHONPATH", root)
        import ray

        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_rows(tmp_path / "rows.jsonl", 240)
    write_rows(tmp_path / "held.jsonl", 30, seed=3)
    monkeypatch.setattr(tokenise, "BATCH", 20)
    monkeypatch.setattr(at_scale, "ROWS_PER_FILE", 60)
    monkeypatch.setattr(at_scale, "BATCH", 25)
    return tmp_path


@pytest.mark.parametrize("min_rows", [0, 100])
def test_the_bytes_are_those_of_one_process(folder: Path, min_rows: int) -> None:
    """From the first row on, and from a row in the middle of the first file on."""
    from ray.data import DataContext

    def make(home: str, **changes: Any) -> dict[str, bytes]:
        plan = preparation(folder, test="held.jsonl", **changes)
        stages: list[tuple[str, int]] = []
        made = prepare(plan, folder / home, lambda stage, rows: stages.append((stage, rows)))
        here.append(sum(rows for stage, rows in stages if stage == "tokenise"))
        return contents(made.folder)

    here: list[int] = []
    context = DataContext.get_current()
    before = context.execution_options.preserve_order, context.enable_progress_bars
    assert make("one") == make("many", ray_data_min_rows=min_rows)
    assert here[0] == 0 and here[1] in ({270} if min_rows == 0 else {190})
    assert (context.execution_options.preserve_order, context.enable_progress_bars) == before


def test_bad_rows_in_a_worker_are_named_as_in_one_process(folder: Path) -> None:
    bad = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]}
    with (folder / "rows.jsonl").open("a") as file:
        file.writelines(json.dumps(bad) + "\n" for _ in range(7))
    said = []
    for changes in ({}, {"ray_data_min_rows": 50}):
        with pytest.raises(DataError) as refused:
            prepare(preparation(folder, **changes), folder / "datasets")
        said.append((str(refused.value), refused.value.where, refused.value.fix))
    assert said[0] == said[1]
    assert said[0][1] == "rows.jsonl:241, rows.jsonl:242, rows.jsonl:243, rows.jsonl:244, rows.jsonl:245 and 2 more"
