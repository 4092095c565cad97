"""From rows to a dataset version: what is in it, what is refused, and that the same input gives the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.data.prepared import contents, key, packed, places, preparation, write_rows
from tunesmith.data import dataset, prepare, shards, tokenise
from tunesmith.data.dataset import Dataset, open_dataset
from tunesmith.data.example import Example
from tunesmith.data.render import Rendered
from tunesmith.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rows(tmp_path / "rows.jsonl", 120)
    return tmp_path


def make(folder: Path, home: str = "datasets", **changes: Any) -> Dataset:
    return prepare.prepare(preparation(folder, **changes), folder / home)


def slow_reference(plan: prepare.Preparation, examples: list[Example]) -> dict[int, tuple[list[int], dict[int, float]]]:
    """Line -> ids and {position: weight}, each conversation by itself; the first token is no label."""
    made = {}
    for example, row in zip(examples, plan.renderer(examples), strict=True):
        assert isinstance(row, Rendered)
        labels = {at: weight for start, end, weight in row.spans for at in range(start, end) if at > 0}
        ids = row.ids[: plan.sequence_length]
        made[example.origin.line] = ids, {at: weight for at, weight in labels.items() if at < len(ids)}
    return made


@pytest.mark.parametrize("packing", [True, False])
def test_packed_rows_hold_every_conversation_and_its_labels(
    folder: Path, monkeypatch: pytest.MonkeyPatch, packing: bool
) -> None:
    """Across several shards and row groups, against each conversation tokenised by itself."""
    monkeypatch.setattr(shards, "SHARD_TOKENS", 3000)
    monkeypatch.setattr(shards, "GROUP_ROWS", 3)
    monkeypatch.setattr(tokenise, "BATCH", 7)
    plan = preparation(folder, packing=packing)
    made = prepare.prepare(plan, folder / "datasets")
    for part in ("train", "validation", "test"):
        reference = slow_reference(plan, list(made.examples(part)))
        seen: list[int] = []
        total_labels = 0
        all_lines = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
        rows = packed(made, part)
        for row in rows:
            at = 0
            labels = dict(zip(row["label_positions"], row["label_weights"], strict=True))
            assert row["label_positions"] == sorted(labels)
            assert len(row["input_ids"]) == sum(row["document_lengths"]) <= plan.sequence_length
            for number, length in zip(row["examples"], row["document_lengths"], strict=True):
                line = number + 1
                ids, expected = reference[line]
                assert row["input_ids"][at : at + length] == ids
                assert {p - at: w for p, w in labels.items() if at <= p < at + length} == expected
                decoded = plan.renderer.tokenizer.decode(row["input_ids"][at : at + length])
                assert decoded == plan.renderer.template.render(all_lines[number]["messages"])
                seen.append(line)
                at += length
            total_labels += len(labels)
        assert sorted(seen) == sorted(places(made, part)) and len(set(seen)) == len(seen)
        assert made.counts(part) == {
            "rows": len(rows), "examples": len(seen), "label_tokens": total_labels,
            "tokens": sum(len(row["input_ids"]) for row in rows),
            "squared_lengths": sum(length**2 for row in rows for length in row["document_lengths"]),
        }  # fmt: skip
    if packing:
        assert len(list(made.folder.glob("train-[0-9]*.parquet"))) > 2
        assert made.counts("train")["rows"] < made.counts("train")["examples"] / 2


def test_the_first_token_of_a_document_is_never_a_label(folder: Path) -> None:
    """Its loss would be that of guessing it after another conversation."""
    end = "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    template = "{% for m in messages %}{{ m['content'] }}" + end + "{% endfor %}"
    (folder / "rows.jsonl").write_text(
        "".join(json.dumps({"prompt": f"question {n}", "completion": f"answer {n}"}) + "\n" for n in range(40))
    )
    plan = preparation(folder, train_on=["user", "assistant"])
    plan.renderer.template.sources["default"] = template
    assert plan.renderer(list(read(plan)))[0].spans[0][0] == 0, "the first turn does not begin the text"  # type: ignore[union-attr]
    made = prepare.prepare(plan, folder / "datasets")
    for row in packed(made, "train"):
        begins = np.cumsum([0, *row["document_lengths"][:-1]])
        assert not set(begins.tolist()) & set(row["label_positions"])
        assert len(row["label_positions"]) > len(begins)


def read(plan: prepare.Preparation) -> list[Any]:
    from tunesmith.data.read import read_examples

    return list(read_examples(plan.data, plan.folder, "train"))


def test_mapped_rows_are_those_of_the_shards(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_TOKENS", 2000)
    monkeypatch.setattr(shards, "GROUP_ROWS", 2)
    made = make(folder, sequence_length=350)
    assert len(list(made.folder.glob("train-[0-9]*.parquet"))) > 2
    for part in ("train", "validation", "test"):
        expected, rows = packed(made, part), made.rows(part)
        assert len(rows) == len(expected) == made.counts(part)["rows"]
        assert rows.num_tokens.tolist() == [len(row["input_ids"]) for row in expected]
        assert rows.num_labels.tolist() == [len(row["label_positions"]) for row in expected]
        for row, wanted in zip(rows, expected, strict=True):  # type: ignore[call-overload]
            for name in ("input_ids", "document_lengths", "label_positions", "label_weights"):
                assert getattr(row, name).tolist() == wanted[name]
        for outside in (len(rows), -1):
            with pytest.raises(IndexError):
                rows[outside]


def test_an_empty_part_has_no_rows(folder: Path) -> None:
    made = make(folder, split={"validation": 0, "test": 5})
    assert len(made.rows("validation")) == 0 and list(made.examples("validation")) == []
    assert made.rows("validation").num_tokens.tolist() == []


@pytest.mark.slow
def test_several_processes_open_the_rows_at_once(folder: Path) -> None:
    made = make(folder)
    code = (
        "import sys, pathlib; from tunesmith.data.dataset import open_dataset; "
        "rows = open_dataset(pathlib.Path(sys.argv[1])).rows('train'); "
        "print(len(rows), sum(int(rows[i].input_ids.sum()) for i in range(len(rows))))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(made.folder)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    printed = {process.communicate(timeout=60)[0] for process in started}
    expected = packed(made, "train")
    assert printed == {f"{len(expected)} {sum(sum(row['input_ids']) for row in expected)}\n"}
    assert not list(made.folder.glob(".tmp-*"))


SCRIPT = """
import sys
from pathlib import Path
from tests.unit.data.prepared import preparation
from tunesmith.data.prepare import prepare
folder = Path(sys.argv[1])
print(prepare(preparation(folder, split={"test": 9}), folder / "datasets").folder)
"""


def run_script(folder: Path, code: str = SCRIPT, **environment: str) -> subprocess.Popen[str]:
    """Another process that prepares; it sees the tests, the source and nothing of this process' state."""
    root = Path(__file__).parents[3]
    inherited = dict(os.environ) | {"PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}
    command = [sys.executable, "-c", code, str(folder)]
    return subprocess.Popen(command, env=inherited | environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_the_same_input_gives_the_same_bytes_anywhere(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """In two homes, in two folders, and in processes that hash strings differently."""
    here = make(folder, split={"test": 9})
    again = make(folder, home="elsewhere", split={"test": 9})
    assert contents(here.folder) == contents(again.folder) and here.version == again.version
    for hash_seed in ("1", "2"):
        other = tmp_path_factory.mktemp(f"other{hash_seed}")
        (other / "rows.jsonl").write_bytes((folder / "rows.jsonl").read_bytes())
        process = run_script(other, PYTHONHASHSEED=hash_seed)
        made = Path(process.communicate(timeout=120)[0].strip())
        assert made.parent.parent == other and contents(made) == contents(here.folder)


def test_a_second_call_finds_what_was_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(folder)
    monkeypatch.setattr(prepare, "_make", lambda *_: pytest.fail("prepared again"))
    assert make(folder).manifest == made.manifest == open_dataset(made.folder).manifest


def test_sources_are_hashed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunesmith.data import sources

    calls: list[Any] = []
    real = sources.fingerprint
    monkeypatch.setattr(sources, "fingerprint", lambda *arguments: calls.append(1) or real(*arguments))
    make(folder)
    assert len(calls) == 1


CHANGES: list[dict[str, Any]] = [
    {"sequence_length": 513},
    {"packing": False},
    {"style": "zephyr"},
    {"system": "Be brief."},
    {"train_on": ["user", "assistant"]},
    {"overlong": "drop"},
    {"overlong": "truncate"},
    {"max_train_examples": 50},
    {"split": {"seed": 1}},
    {"split": {"validation": 3}},
    {"split": {"test": 3}},
    {"split": {"stratify": False}},
    {"split": {"group_near_duplicates": False}},
    {"audit": {"near_duplicate_threshold": 0.5}},
    {"audit": {"fail_on": []}},
    {"format": "chat"},
    {"train": {"path": "rows.jsonl", "split": "part"}},
    {"train": {"path": "rows.jsonl", "file_format": "jsonl"}},
    {"train": ["rows.jsonl", "more.jsonl"]},
    {"test": "more.jsonl"},
    {"validation": "more.jsonl"},
]


def test_any_setting_makes_another_version(folder: Path) -> None:
    write_rows(folder / "more.jsonl", 3, seed=9)
    versions = {preparation(folder, **change).version() for change in ({}, *CHANGES)}
    assert len(versions) == len(CHANGES) + 1


def test_one_byte_of_a_row_makes_another_version_and_the_place_of_tokenising_does_not(folder: Path) -> None:
    before = preparation(folder).version()
    assert preparation(folder, ray_data_min_rows=1).version() == before
    rows = (folder / "rows.jsonl").read_text()
    (folder / "rows.jsonl").write_text(rows.replace("card", "Card", 1))
    assert preparation(folder).version() != before


def test_every_field_of_the_data_section_is_among_the_changes() -> None:
    """A new field must be shown to change the version, or be left out on purpose."""
    from tunesmith.recipe.data import DataSection

    assert set(DataSection.model_fields) <= {name for change in CHANGES for name in change} | {"ray_data_min_rows"}


KILLED = """
import importlib, os, signal, sys
from pathlib import Path
from tests.unit.data.prepared import preparation
from tunesmith.data import prepare
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
target, name = os.environ["DIE_IN"].split(":")
setattr(importlib.import_module(target), name, die)
prepare.prepare(preparation(Path(sys.argv[1])), Path(sys.argv[1]) / "datasets")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    [
        "tunesmith.data.prepare:check_lengths",
        "tunesmith.data.prepare:_write_examples",
        "tunesmith.store.durable:sync_file",  # the last step before the folder gets its name
    ],
)
def test_a_process_killed_half_way_leaves_no_dataset_version(folder: Path, place: str) -> None:
    process = run_script(folder, KILLED, DIE_IN=place)
    assert process.wait(timeout=120) == -signal.SIGKILL
    left = list((folder / "datasets").iterdir())
    assert left and all(path.name.startswith(".tmp-") for path in left)
    made = make(folder)
    assert made.counts("train")["examples"] == 96
    old = time.time() - 2 * 24 * 3600
    for path in left:
        os.utime(path, (old, old))
    make(folder, sequence_length=600)
    assert not any(path.exists() for path in left)


def test_a_full_disk_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prepare, "write_shards", full)
    with pytest.raises(DataError, match="the dataset version cannot be written \\(No space left on device\\)"):
        make(folder)
    assert list((folder / "datasets").iterdir()) == []


def long_row(words: int, answer: str = "short") -> str:
    return json.dumps(
        {"messages": [{"role": "user", "content": "card " * words}, {"role": "assistant", "content": answer}]}
    )


def test_overlong_rows_are_an_error_with_their_places(folder: Path) -> None:
    with (folder / "rows.jsonl").open("a") as file:
        file.write(long_row(900) + "\n" + long_row(1200) + "\n")
    with pytest.raises(DataError) as refused:
        make(folder)
    assert refused.value.where == "rows.jsonl:121, rows.jsonl:122"
    assert refused.value.what.startswith("2 of 122 conversations are longer than train.sequence_length (512 tokens;")
    assert list((folder / "datasets").iterdir()) == []


def test_overlong_rows_are_dropped_and_counted(folder: Path) -> None:
    with (folder / "rows.jsonl").open("a") as file:
        file.write(long_row(900) + "\n")
    made = make(folder, overlong="drop")
    assert made.manifest["overlong"] == {"rows": 1, "action": "drop"} and made.manifest["unused"] == 0
    assert 121 not in {line for part in ("train", "validation", "test") for line in places(made, part)}
    assert sum(made.counts(part)["examples"] for part in ("train", "validation", "test")) == 120


def test_overlong_rows_are_truncated_and_counted(folder: Path) -> None:
    with (folder / "rows.jsonl").open("a") as file:
        file.write(long_row(3, answer="fox " * 900) + "\n")
    made = make(folder, overlong="truncate", split={"validation": 0, "test": 0})
    assert made.manifest["overlong"] == {"rows": 1, "action": "truncate"}
    (row,) = [row for row in packed(made, "train") if 120 in row["examples"]]
    assert row["document_lengths"] == [512] and row["label_positions"][-1] == 511
    assert made.counts("train")["examples"] == 121


def test_a_truncated_row_without_a_trained_token_is_refused(folder: Path) -> None:
    with (folder / "rows.jsonl").open("a") as file:
        file.write(long_row(900) + "\n")
    with pytest.raises(DataError) as refused:
        make(folder, overlong="truncate")
    assert str(refused.value).startswith(
        "rows.jsonl:121: cut at 512 tokens, 1 conversations would keep no trained token\n"
    )


def test_malformed_rows_refuse_the_data_or_are_counted(folder: Path) -> None:
    with (folder / "rows.jsonl").open("a") as file:
        file.write('{"messages": []}\nnot json\n')
    with pytest.raises(DataError) as refused:
        make(folder)
    assert "rows.jsonl:121" in str(refused.value) and "the audit refuses the data" in refused.value.what
    made = make(folder, audit={"fail_on": []})
    assert made.manifest["malformed"] == 2 and made.manifest["findings"]["malformed"] == 2
    listed = [json.loads(line) for line in (made.folder / "malformed.jsonl").read_text().splitlines()]
    assert len(listed) == 2
    assert sum(made.counts(part)["examples"] for part in ("train", "validation", "test")) == 120


def test_only_malformed_rows_leave_nothing_to_learn_from(folder: Path) -> None:
    (folder / "rows.jsonl").write_text('{"messages": []}\n' * 3)
    with pytest.raises(DataError, match="no row is left to learn from"):
        make(folder, audit={"fail_on": []})


def test_rows_the_template_refuses_are_all_counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenise, "BATCH", 10)
    with pytest.raises(DataError) as refused:
        make(folder, style="mistral")
    assert refused.value.where == "rows.jsonl:1, rows.jsonl:4, rows.jsonl:7, rows.jsonl:10, rows.jsonl:13 and 35 more"
    assert "a mistral model refuses this conversation (After the optional system" in refused.value.what


def test_a_row_without_a_trained_token_is_refused(folder: Path) -> None:
    bad = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]}
    with (folder / "rows.jsonl").open("a") as file:
        file.write(json.dumps(bad) + "\n")
    with pytest.raises(DataError, match=r"^rows.jsonl:121: no token of this conversation would be trained"):
        make(folder)


def test_a_template_that_ends_no_turn_is_refused_before_any_row_is_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a no-end model ends the answer with no end-of-turn token"):
        make(tmp_path, style="no-end")


def test_held_out_rows_of_the_user_are_taken_whole(folder: Path) -> None:
    write_rows(folder / "held.jsonl", 30, seed=5)
    made = make(folder, test="held.jsonl")
    assert made.counts("test")["examples"] == 30 and made.counts("validation")["examples"] == 12
    assert {example.origin.file for example in made.examples("test")} == {"held.jsonl"}
    both = make(folder, test="held.jsonl", validation="held.jsonl")
    assert both.counts("train")["examples"] == 120


def test_a_split_column_is_obeyed(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", 60, part=["train", "train", "dev", "test"])
    made = make(tmp_path, train={"path": "rows.jsonl", "split": "part"})
    assert [line % 4 for line in places(made, "train")] == [1, 2] * 15
    assert {line % 4 for line in places(made, "validation")} == {3}
    assert {line % 4 for line in places(made, "test")} == {0}


def test_rows_that_say_train_stay_there_though_nothing_is_held_out(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", 60, part=["train", "train", "validation"])
    write_rows(tmp_path / "more.jsonl", 40, seed=3)
    made = make(tmp_path, train=[{"path": "rows.jsonl", "split": "part"}, "more.jsonl"], split={"test": 10})
    assert {example.origin.file for example in made.examples("test")} == {"more.jsonl"}
    assert [made.counts(part)["examples"] for part in ("train", "validation", "test")] == [70, 20, 10]


def test_max_train_examples_leaves_held_out_rows_as_they_are(folder: Path) -> None:
    whole, few = make(folder), make(folder, max_train_examples=40)
    assert few.counts("train")["examples"] == 40 and few.manifest["unused"] == 56
    assert set(places(few, "train")) < set(places(whole, "train"))
    for part in ("validation", "test"):
        assert places(few, part) == places(whole, part)


def test_the_same_conversations_are_held_out_whatever_their_order(folder: Path) -> None:
    whole = {key(example.messages) for example in make(folder).examples("test")}
    lines = (folder / "rows.jsonl").read_text().splitlines(keepends=True)
    (folder / "rows.jsonl").write_text("".join(reversed(lines)))
    assert {key(example.messages) for example in make(folder).examples("test")} == whole


def test_near_duplicates_are_on_one_side(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", 100)
    with (tmp_path / "rows.jsonl").open("a") as file:
        for row in rows:  # every conversation again, with another last word
            row["messages"][-1]["content"] += " again"
            file.write(json.dumps(row) + "\n")
    made = make(tmp_path)
    sides = {(line - 1) % 100: part for part in ("train", "validation", "test") for line in places(made, part)}
    for part in ("train", "validation", "test"):
        assert all(sides[(line - 1) % 100] == part for line in places(made, part))
    assert [made.counts(part)["examples"] for part in ("train", "validation", "test")] == [160, 20, 20]
    apart = make(tmp_path, split={"group_near_duplicates": False})
    sides = {(line - 1) % 100: part for part in ("train", "validation", "test") for line in places(apart, part)}
    assert any(sides[(line - 1) % 100] != "train" for line in places(apart, "train"))


def test_labels_are_stratified(tmp_path: Path) -> None:
    with (tmp_path / "rows.jsonl").open("w") as file:
        for number in range(200):
            label = "common" if number % 10 else "rare"
            file.write(json.dumps({"text": f"text number {number} of card {number * 7}", "label": label}) + "\n")
    made = make(tmp_path)
    for part, rare in (("train", 16), ("validation", 2), ("test", 2)):
        assert sum(example.label == "rare" for example in made.examples(part)) == rare


def test_tools_and_unicode_come_back_as_they_were(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "find", "arguments": {"what": "Fluß 🙂 \u2028"}}}
    tools = [{"type": "function", "function": {"name": "find", "parameters": {}}}]
    messages = [
        {"role": "user", "content": "数据 \x00?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "{}"},
        {"role": "assistant", "content": "é"},
    ]
    (tmp_path / "rows.jsonl").write_text((json.dumps({"messages": messages, "tools": tools}) + "\n") * 3)
    made = make(tmp_path, style="qwen3", split={"validation": 0, "test": 0})
    (example, *_) = made.examples("train")
    assert example.tools == tools and example.messages[1]["tool_calls"] == [call]
    assert example.messages[0]["content"] == "数据 \x00?" and example.prompt == example.messages[:3]


def test_half_a_character_is_a_malformed_row(folder: Path) -> None:
    """JSON can name one half of a surrogate pair, which no text file and no tokenizer can hold."""
    with (folder / "rows.jsonl").open("a") as file:
        file.write(long_row(1, answer="a \ud800 b") + "\n")
    with pytest.raises(DataError, match=r"^rows.jsonl:121: the audit refuses the data"):
        make(folder)


def test_a_damaged_or_missing_version_is_said(folder: Path) -> None:
    with pytest.raises(DataError, match="there is no dataset version in"):
        open_dataset(folder / "nothing")
    made = make(folder)
    (made.folder / dataset.MANIFEST).write_text("{")
    with pytest.raises(DataError, match="the manifest is damaged"):
        open_dataset(made.folder)
