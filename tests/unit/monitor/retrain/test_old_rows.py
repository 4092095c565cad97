"""The champion's rows on a machine that has not its dataset version."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from tests import tiny_models
from tunesmith.monitor.retrain.collect import _dataset_of
from tunesmith.monitor.retrain.copies import folder_of, keep
from tunesmith.monitor.retrain.dataset import NEW_TRAIN, OLD
from tunesmith.monitor.retrain.derive import write_recipe
from tunesmith.monitor.retrain.journal import Journal, Step
from tunesmith.monitor.retrain.work import Work
from tunesmith.recipe.load import load_recipe
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion
from tunesmith.store.database import Database
from tunesmith.store.home import Home

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
RECIPE = """\
name: tiny
model: {source: base, dtype: float32}
data: {train: rows.jsonl, split: {validation: 2, test: 2}}
train: {sequence_length: 64, packing: false}
"""


def rows(first: int, number: int) -> str:
    lines = [
        {"messages": [{"role": "user", "content": f"say {n} {n * 7919}"}, {"role": "assistant", "content": "yes"}]}
        for n in range(first, first + number)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


def test_what_earlier_retrains_have_learned_is_not_lost_with_their_machine(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    tiny_models.save(tmp_path / "base")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "rows.jsonl").write_text(rows(0, 12))
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "weights").write_text("weights")
    home = Home(tmp_path / "first", f"sqlite:///{tmp_path}/registry.db", f"memory://{request.node.name}")
    database, registry = Database.open(home.database_url), Registry.open(home)
    new = NewVersion(
        "tiny", "adapter", "base", recipe_hash="r", recipe={}, created_by="ann", verdict="passed",
        dataset_version="0123456789abcdef",
    )  # fmt: skip
    champion = registry.register(new, tmp_path / "files")
    journal, loaded = Journal(database, lambda: NOW), load_recipe(tmp_path / "recipe.yaml")
    step = Step("decision", NOW, "start", "it is time", {})
    retrain = journal.begin("tiny", {"next": "finish", "version": champion.reference}, step)
    folder = folder_of(home, "tiny", 1)
    folder.mkdir(parents=True)
    for number, name in enumerate((OLD["train"], OLD["validation"], OLD["test"], NEW_TRAIN)):
        (folder / name).write_text(rows(100 + 10 * number, 8 if name == NEW_TRAIN else 3))
    write_recipe(loaded, folder, labelled=False)
    keep(home, "tiny", 1)
    shutil.rmtree(home.folder)

    console = Console(quiet=True)
    work = Work(home, database, registry, journal, console, retrain, loaded)
    dataset, where = _dataset_of(champion, work)
    assert where == "the rows of tiny retrain 1, prepared again"
    assert dataset.counts("train")["examples"] == 11
    other = registry.register(NewVersion(**{**vars(new), "recipe_hash": "another"}), tmp_path / "files")
    dataset, where = _dataset_of(other, work)
    assert where.startswith("the recipe's rows") and dataset.counts("train")["examples"] == 8
