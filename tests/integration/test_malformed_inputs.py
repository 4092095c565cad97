"""What a user can get wrong on the way to training: each gets a sentence, none trains."""

# ruff: noqa: E501 (a message is easier to read in one piece)

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests import tiny_models
from tunesmith.cli import cli
from tunesmith.errors import TunesmithError

RECIPE = """\
name: tiny
model:
  source: {model}
  dtype: float32
data:
  train: rows.jsonl
  split: {{validation: 2, test: 2}}
train:
  sequence_length: 128
  max_steps: 1
"""


CORES = len(os.sched_getaffinity(0))


def row(question: str, answer: str) -> str:
    return json.dumps({"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]})


ROWS = [row(f"what is {number} and one", f"it is {number + 1}") for number in range(20)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save(tmp_path_factory.mktemp("model"))


def rows(*lines: str) -> Callable[[Path, str], str]:
    """Change nothing but the rows."""

    def change(folder: Path, recipe: str) -> str:
        (folder / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return recipe

    return change


def replaced(old: str, new: str) -> Callable[[Path, str], str]:
    """Change nothing but a piece of the recipe."""

    def change(folder: Path, recipe: str) -> str:
        assert old in recipe
        return recipe.replace(old, new)

    return change


def both(*changes: Callable[[Path, str], str]) -> Callable[[Path, str], str]:
    def change(folder: Path, recipe: str) -> str:
        for one in changes:
            recipe = one(folder, recipe)
        return recipe

    return change


def without_template(folder: Path, recipe: str) -> str:
    tiny_models.save(folder / "plain", template=None)
    return recipe.replace("{model}", "plain")


def without_end_of_turn(folder: Path, recipe: str) -> str:
    tiny_models.save(folder / "endless", template=tiny_models.TEMPLATE.replace("<|im_end|>", "|"))
    return recipe.replace("{model}", "endless")


def pickled(folder: Path, recipe: str) -> str:
    (folder / "pickled").mkdir()
    (folder / "pickled" / "config.json").write_text("{}")
    (folder / "pickled" / "pytorch_model.bin").write_bytes(b"\x80\x04")
    return recipe.replace("{model}", "pickled")


def windowed(folder: Path, recipe: str) -> str:
    tiny_models.save(folder / "windowed", kind="mistral", sliding_window=64)
    return recipe.replace("{model}", "windowed")


LONG = row("tell me everything " * 20, "no")
CASES: dict[str, tuple[Callable[[Path, str], str], str]] = {
    "a misspelt key": (
        replaced("max_steps", "max_step"),
        "./recipe.yaml:10: train.max_step: unknown key\n  fix: did you mean 'max_steps'?",
    ),
    "a rate that is text": (
        replaced("max_steps: 1", "learning_rate: fast"),
        "./recipe.yaml:10: train.learning_rate: 'fast' is not a number above 0\n  fix: give a number above 0",
    ),
    "a name with slashes": (
        replaced("name: tiny", "name: ../tiny"),
        "./recipe.yaml:1: name: '../tiny' is not allowed here\n"
        "  fix: Name the versions are registered under: lower-case letters, digits, dots, dashes, underscores",
    ),
    "two batch sizes": (
        replaced("max_steps: 1", "batch_size: 2\n  batch_tokens: 100"),
        "./recipe.yaml:8: train: give 'batch_size' or 'batch_tokens', not both\n"
        "  fix: see `tunesmith recipe schema --markdown`",
    ),
    "no such model": (
        replaced("{model}", "smollm2-135m-instrct"),
        "model.source: no base model is called 'smollm2-135m-instrct'\n"
        "  fix: did you mean 'smollm2-135m-instruct'? Or give a hub id (owner/name), a folder or a .gguf file",
    ),
    "no such folder": (
        replaced("{model}", "./weights"),
        "model.source: there is no model at './weights'\n  fix: check the path; it was looked for at ./weights",
    ),
    "pickled weights": (
        pickled,
        "model.source: the folder ./pickled has no .safetensors file\n"
        "  fix: save the model again with save_pretrained; pickled weights are not read",
    ),
    "no chat template": (
        without_template,
        "model.source: the tokenizer of 'plain' has no chat template\n"
        "  fix: use the instruct version of the model, or give model.chat_template a Jinja file",
    ),
    "no end of turn": (
        without_end_of_turn,
        "model.source: the chat template of endless ends the answer with no end-of-turn token, so the model would never learn to stop\n"
        "  fix: set model.chat_template to one that ends each turn with the tokenizer's eos token",
    ),
    "attention that training does not have": (
        windowed,
        "model.source: mistral has a sliding window of 64 tokens, which training cannot reproduce yet\n"
        "  fix: set train.sequence_length to 64 or less",
    ),
    "no such file": (replaced("rows.jsonl", "row.jsonl"), "row.jsonl: no such file\n  fix: did you mean rows.jsonl?"),
    "an empty file": (
        rows(""),
        "rows.jsonl: the file has no rows\n  fix: put rows into it, or take it out of the recipe",
    ),
    "broken JSON": (
        rows(*ROWS, '{"messages": ['),
        "rows.jsonl:21: the audit refuses the data: 1 row cannot be read as conversations (the row is not JSON: Expecting value (column 15))\n"
        "  fix: mend or remove each row named here; `data.format` says how rows are read; `tunesmith data audit RECIPE` shows all, data.audit.fail_on decides what refuses",
    ),
    "a row without an answer": (
        rows(*ROWS, '{"messages": [{"role": "user", "content": "hello"}]}'),
        "rows.jsonl:21: the audit refuses the data: 1 row cannot be read as conversations (the conversation has no assistant turn)\n"
        "  fix: mend or remove each row named here; `data.format` says how rows are read; `tunesmith data audit RECIPE` shows all, data.audit.fail_on decides what refuses",
    ),
    "a role nobody has": (
        rows(*ROWS, '{"messages": [{"role": "narrator", "content": "hello"}]}'),
        "rows.jsonl:21: the audit refuses the data: 1 row cannot be read as conversations (message 1 has the unknown role 'narrator')\n"
        "  fix: mend or remove each row named here; `data.format` says how rows are read; `tunesmith data audit RECIPE` shows all, data.audit.fail_on decides what refuses",
    ),
    "an empty answer": (
        rows(*ROWS, row("hello", " ")),
        "rows.jsonl:21: the audit refuses the data: 1 row cannot be read as conversations (message 2, an answer, is empty)\n"
        "  fix: mend or remove each row named here; `data.format` says how rows are read; `tunesmith data audit RECIPE` shows all, data.audit.fail_on decides what refuses",
    ),
    "columns of no known format": (
        rows('{"a": 1, "b": 2}'),
        "data.train: cannot tell the format of rows.jsonl (columns: a, b)\n"
        "  fix: set data.format to one of chat, sharegpt, alpaca, prompt-completion, text-label, columns; or map columns: format: {type: columns, prompt: '{a_column}', completion: '{another}'}",
    ),
    "an overlong row": (
        rows(*ROWS, LONG),
        "rows.jsonl:21: 1 of 21 conversations are longer than train.sequence_length (128 tokens; the longest has 403)\n"
        "  fix: raise train.sequence_length, or set data.overlong to truncate or drop",
    ),
    "cut rows without a trained token": (
        both(rows(*ROWS, LONG), replaced("  split", "  overlong: truncate\n  split")),
        "rows.jsonl:21: cut at 128 tokens, 1 conversations would keep no trained token\n"
        "  fix: raise train.sequence_length, or set data.overlong to drop",
    ),
    "weights of zero": (
        rows(
            *ROWS,
            '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]}',
        ),
        "rows.jsonl:21: no token of this conversation would be trained\n"
        "  fix: give it a turn of a role in data.train_on with a weight above 0",
    ),
    "more held out than there is": (
        replaced("test: 2", "test: 30"),
        "data.split: 20 rows are too few to hold out 2 for validation and 30 for test\n"
        "  fix: lower data.split.validation and data.split.test, or add rows",
    ),
    "a credit card": (
        rows(*ROWS, row("my card is 4556 7375 8689 9855", "thank you")),
        "rows.jsonl:21: the audit refuses the data: 1 row with a key, card or account number proven by its checksum or structure: a model can repeat what it has seen (payment card 4556… (19 characters))\n"
        "  fix: replace them with placeholders, and revoke keys that were real; `tunesmith data audit RECIPE` shows all, data.audit.fail_on decides what refuses",
    ),
    "the test set in the training set": (
        both(replaced("  train: rows.jsonl", "  train: rows.jsonl\n  test: rows.jsonl")),
        "rows.jsonl:1, rows.jsonl:2, rows.jsonl:3, rows.jsonl:4, rows.jsonl:5: the audit refuses the data: 20 rows held out but also in another part: their scores would flatter (the same row: rows.jsonl:1)\n"
        "  fix: remove them from one side, or give only data.train: the split keeps twins together; `tunesmith data audit RECIPE` shows all, data.audit.fail_on decides what refuses",
    ),
    "a target the model does not have": (
        replaced("train:\n  seq", "method: {targets: [q_prj]}\ntrain:\n  seq"),
        "method.targets: the model has no linear layer named 'q_prj'\n  fix: did you mean 'q_proj'?",
    ),
    "more workers than a process is": (
        replaced("train:\n  seq", "resources: {workers: 2, cpus_per_worker: 1}\ntrain:\n  seq"),
        "resources.workers: one process is one worker\n  fix: set it to 1, or train on Ray",
    ),
    "more cores than there are": (
        replaced("train:\n  seq", "resources: {cpus_per_worker: 4096}\ntrain:\n  seq"),
        f"resources.cpus_per_worker: 1 worker(s) of 4096 cores are asked for, this machine has {CORES}\n"
        f"  fix: set it to {CORES} or leave it out",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_gets_its_sentence_and_nothing_is_trained(
    name: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, expected = CASES[name]
    home = tmp_path / "home"
    monkeypatch.setenv("TUNESMITH_HOME", str(home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "rows.jsonl").write_text("\n".join(ROWS) + "\n")
    text = change(tmp_path, RECIPE).replace("{{", "{").replace("}}", "}").replace("{model}", str(model))
    (tmp_path / "recipe.yaml").write_text(text)
    result = CliRunner().invoke(cli, ["train", str(tmp_path / "recipe.yaml"), "--in-process"])
    assert isinstance(result.exception, TunesmithError), result.exception or result.output
    said = str(result.exception).replace(str(tmp_path), ".").replace(str(model), "MODEL")
    assert said == expected
    assert result.exception.exit_code == 2
    assert not list((home / "runs").glob("*/adapter")) and not list((home / "runs").glob("*/checkpoints/step-*"))
