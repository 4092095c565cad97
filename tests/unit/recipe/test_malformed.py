"""Every way we know to get a recipe wrong, and the exact sentence for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.errors import RecipeError
from tunesmith.recipe.load import load_recipe
from tunesmith.recipe.mistakes import RecipeMistakes

GOOD = "name: good\nmodel: {source: some/model}\ndata: {train: rows.jsonl}\n"

METRICS = (
    "bits_per_byte, bleu, chrf, exact_match, json_schema, json_valid, label_f1, length_ratio, meteor_es, perplexity, "
    "rouge1, rouge2, rougeL, token_f1"
)

FILES = {
    "empty": (b"", "r.yaml: the file is empty", "write one with `tunesmith init`"),
    "only comments": (b"# name: x\n", "r.yaml: the file is empty", "write one with `tunesmith init`"),
    "list": (
        b"# rows\n- name: x\n",
        "r.yaml:2: a recipe is a mapping of sections, this is a list",
        "start with `name: ...` in the first column, without a dash",
    ),
    "word": (
        b"hello\n",
        "r.yaml:1: a recipe is a mapping of sections, this is a single value",
        "start with `name: ...` in the first column, without a dash",
    ),
    "tab": (b"name: x\nmodel:\n\tsource: y\n", "r.yaml:3: a tab where spaces are needed", "indent with spaces"),
    "binary": (
        b"GGUF\x03\x00\x00\x00",
        "r.yaml: this is a binary file, not a recipe",
        "name a recipe file, or write one with `tunesmith init`",
    ),
    "latin-1": (b"name: x\n# caf\xe9\n", "r.yaml:2: these bytes are not UTF-8", "save the file as UTF-8"),
    "utf-16": ("name: x".encode("utf-16"), "r.yaml: the file is UTF-16", "save it as UTF-8"),
    "control character": (b"name: x\nmodel: a\x07b\n", "r.yaml:2: a control character", "remove it"),
    "data instead": (
        b'{"prompt": "x"}\n' * 70_000,
        "r.yaml: the file has more than a megabyte",
        "a recipe is a page; is this the data?",
    ),
    "open quote": (
        b'name: "x\nmodel: y\n',
        "r.yaml:1: a quote that is never closed",
        "close it with the same kind of quote",
    ),
    "open bracket": (
        b"a: 1\nname: [x, y\nmodel: z\n",
        "r.yaml:2: a bracket that is never closed, or a comma missing",
        "close the bracket, put commas between items",
    ),
    "colon in text": (
        b"name: x: y\n",
        "r.yaml:1: a ':' where none can be",
        "put text that holds ': ' in quotes, or check the indentation",
    ),
    "no colon": (b"name: x\nmodel\ndata: y\n", "r.yaml:3: a line without a colon", "write `key: value`"),
    "indentation": (
        b"name: x\nmodel:\n    source: a\n  revision: b\n",
        "r.yaml:4: this line does not line up with the ones above",
        "give keys of one section the same indentation",
    ),
    "two documents": (
        b"name: x\n---\nname: y\n",
        "r.yaml:2: a second document starts here (`---`)",
        "keep one recipe in a file",
    ),
    "twice": (
        b"name: x\nmodel: y\nname: z\n",
        "r.yaml:3: 'name' is written twice, first at r.yaml:1",
        "keep one of them",
    ),
    "number as key": (
        b"1: x\n",
        "r.yaml:1: '1' is not a word that can be a key",
        "put the key in quotes",
    ),
    "list as key": (
        b"[a]: x\n",
        "r.yaml:1: a list or mapping is not a word that can be a key",
        "put the key in quotes",
    ),
    "object": (
        b"name: !!python/object/apply:os.system [id]\n",
        "r.yaml:1: the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not read",
        "remove it; put text in quotes",
    ),
    "merge key": (
        b"a: &a {b: 1}\nname:\n  <<: *a\n",
        "r.yaml:3: merge keys (`<<`) are not read",
        "share settings with `extends: other.yaml`",
    ),
    "own alias": (b"name: &a [*a]\n", "r.yaml:1: an alias that holds itself", "write the values out"),
    "unknown alias": (
        b"name: *best\n",
        "r.yaml:1: an alias (`*name`) of nothing",
        "put text that starts with '*' in quotes",
    ),
    "many laughs": (
        b"a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + b"".join(
            f"{b}: &{b} [{','.join(['*' + a] * 10)}]\n".encode() for a, b in zip("abcdefg", "bcdefgh", strict=True)
        ),
        "r.yaml:1: aliases unfold to more than 100,000 values",
        "write the values out",
    ),
    "infinity": (
        b"name: x\ntrain: {learning_rate: .inf}\n",
        "r.yaml:2: '.inf' is not a finite number",
        "put it in quotes if it is text",
    ),
    "huge number": (
        b"name: x\ntrain: {learning_rate: 1e999}\n",
        "r.yaml:2: '1e999' is too large for a number",
        "put it in quotes if it is text",
    ),
    "extends a number": (
        b"extends: 3\n",
        "r.yaml:1: extends: 3 is not the path of a recipe",
        "give one path, such as `extends: base.yaml`",
    ),
    "extends nothing": (
        b"name: x\nextends: base/no.yaml\n",
        "r.yaml:2: extends: there is no file 'base/no.yaml' (looked for base/no.yaml)",
        "a relative path starts at the folder of the recipe that names it",
    ),
    "extends itself": (
        b"extends: ./r.yaml\n",
        "r.yaml:1: extends goes in a circle: r.yaml -> r.yaml",
        "remove one of them",
    ),
}

SETTINGS = {
    "typo": ("trian: {epochs: 1}", "r.yaml:4: trian: unknown key", "did you mean 'train'?"),
    "typo below": ("train: {epoch: 1}", "r.yaml:4: train.epoch: unknown key", "did you mean 'epochs'?"),
    "elsewhere": ("learning_rate: 1e-4", "r.yaml:4: learning_rate: unknown key", "did you mean 'train.learning_rate'?"),
    "word for a number": (
        "train:\n  epochs: 1\n  learning_rate: fast",
        "r.yaml:6: train.learning_rate: 'fast' is not a number above 0",
        "give a number above 0",
    ),
    "too small": (
        "train: {batch_size: 0}",
        "r.yaml:4: train.batch_size: 0 is not a whole number of at least 1",
        "give a whole number of at least 1",
    ),
    "fraction": (
        "train: {batch_size: 8.5}",
        "r.yaml:4: train.batch_size: 8.5 is not a whole number of at least 1",
        "give a whole number of at least 1",
    ),
    "true for a number": (
        "train: {batch_size: true}",
        "r.yaml:4: train.batch_size: true is not a whole number of at least 1",
        "give a whole number of at least 1",
    ),
    "share or number": (
        "train: {warmup: long}",
        "r.yaml:4: train.warmup: 'long' is not a number of at least 0",
        "give a number of at least 0",
    ),
    "not a switch": (
        "train: {packing: sometimes}",
        "r.yaml:4: train.packing: 'sometimes' is not true or false",
        "give true or false",
    ),
    "choice": (
        "train: {schedule: cosin}",
        "r.yaml:4: train.schedule: 'cosin' is not one of cosine, linear, constant",
        "did you mean 'cosine'?",
    ),
    "wrong metric": (
        "evaluate: {metrics: [chrf, rogueL]}",
        "r.yaml:4: evaluate.metrics.1: 'rogueL' is not a name known here",
        "did you mean 'rougeL'?",
    ),
    "no metric like it": (
        "evaluate: {gate: {metric: vibes}}",
        "r.yaml:4: evaluate.gate.metric: 'vibes' is not a name known here",
        f"known: {METRICS}",
    ),
    "one for a list": (
        "evaluate: {metrics: chrf}",
        "r.yaml:4: evaluate.metrics: 'chrf' is not a list",
        "put it in brackets: [chrf]",
    ),
    "one layer": (
        "method: {targets: q_proj}",
        "r.yaml:4: method.targets: 'q_proj' is not 'all-linear' or a list of texts",
        "put it in brackets: [q_proj]",
    ),
    "pair": (
        "train: {betas: [0.9]}",
        "r.yaml:4: train.betas: a list of 1 is not a list of 2 numbers of at least 0 and below 1",
        "give a list of 2 numbers of at least 0 and below 1",
    ),
    "a setting without effect": (
        "method: {type: full, rank: 8}",
        "r.yaml:4: method: 'rank' has no effect with type: full",
        "leave it out, or set type: lora or qlora",
    ),
    "one of a pair": (
        "train: {betas: [0.9, 1.0]}",
        "r.yaml:4: train.betas.1: 1.0 is not a number of at least 0 and below 1",
        "give a number of at least 0 and below 1",
    ),
    "empty section": (
        "train:",
        "r.yaml:4: train: no value",
        "give a mapping, or remove the key to have the default",
    ),
    "list for a section": (
        "train: [1]",
        "r.yaml:4: train: a list is not a mapping",
        "write `key: value` lines below it, indented by two spaces",
    ),
    "both": (
        "train: {batch_size: 8, batch_tokens: 99}",
        "r.yaml:4: train: give 'batch_size' or 'batch_tokens', not both",
        "see `tunesmith recipe schema --markdown`",
    ),
    "rank": (
        "method: {rank: 9999}",
        "r.yaml:4: method.rank: 9999 is not a whole number of at least 1 and of at most 512",
        "give a whole number of at least 1 and of at most 512",
    ),
    "missing below": (
        "tracking: {mlflow: {}}",
        "r.yaml:4: tracking.mlflow.tracking_uri: missing",
        "add `tracking_uri:` (Server or database, such as `http://localhost:5000`)",
    ),
    "key of a type": (
        "method: {rang: 8}",
        "r.yaml:4: method.rang: unknown key",
        "did you mean 'rank'?",
    ),
}

DATA = {
    "a password in a URL": (
        "{train: 'https://me:hunter2@example.org/rows.jsonl'}",
        "r.yaml:3: data.train.path: the URL holds a password, and recipes are kept with what is made from them",
        "leave it out; fsspec takes credentials from the environment (such as AWS_ACCESS_KEY_ID) or ~/.config/fsspec",
    ),
    "a signed URL": (
        "{train: 'https://example.org/rows.jsonl?X-Amz-Signature=hunter2'}",
        "r.yaml:3: data.train.path: the URL holds a key, and recipes are kept with what is made from them",
        "leave it out; fsspec takes credentials from the environment (such as AWS_ACCESS_KEY_ID) or ~/.config/fsspec",
    ),
    "source type": (
        "{train: {type: datast, path: x}}",
        "r.yaml:3: data.train.type: 'datast' is not a type of source",
        "did you mean 'dataset'?",
    ),
    "no type": (
        "{train: {file: x}}",
        "r.yaml:3: data.train: a source needs a 'path' or a 'type'",
        "add `path:` for files, or `type:` with one of file, dataset, python-docstrings",
    ),
    "number": (
        "{train: 5}",
        "r.yaml:3: data.train: 5 is not a path or a source",
        "give a path, or a mapping with a type: file, dataset, python-docstrings",
    ),
    "nothing": (
        "{train: }",
        "r.yaml:3: data.train: no value",
        "give a path, or a mapping with a type: file, dataset, python-docstrings",
    ),
    "empty list": (
        "{train: []}",
        "r.yaml:3: data.train: an empty list is not a path or a source",
        "give a path, or a mapping with a type: file, dataset, python-docstrings",
    ),
    "second of a list": (
        "{train: [a.jsonl, {path: b.jsonl, splt: part}]}",
        "r.yaml:3: data.train.1.splt: unknown key for the type 'file'",
        "did you mean 'split'?",
    ),
    "key of another source": (
        "{train: {type: python-docstrings, path: x}}",
        "r.yaml:3: data.train.path: unknown key for the type 'python-docstrings'",
        "known: max_code_chars, max_summary_chars, min_code_chars, min_summary_chars, type",
    ),
    "format": (
        "{train: x, format: alpacca}",
        "r.yaml:3: data.format.type: 'alpacca' is not one of auto, chat, sharegpt, alpaca, prompt-completion, "
        "text-label, columns",
        "did you mean 'alpaca'?",
    ),
    "ignored": (
        "{train: x, format: {type: chat, prompt: y}}",
        "r.yaml:3: data.format: prompt has no effect with format 'chat'",
        "see `tunesmith recipe schema --markdown`",
    ),
    "half a format": (
        "{train: x, format: {type: columns, prompt: y}}",
        "r.yaml:3: data.format: format 'columns' needs both 'prompt' and 'completion'",
        "see `tunesmith recipe schema --markdown`",
    ),
}


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(content: bytes, *overrides: str) -> RecipeError:
    Path("r.yaml").write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        load_recipe(Path("r.yaml"), overrides)
    return caught.value


@pytest.mark.parametrize(("content", "sentence", "fix"), FILES.values(), ids=FILES)
def test_files(content: bytes, sentence: str, fix: str) -> None:
    assert str(refused(content)) == f"{sentence}\n  fix: {fix}"


@pytest.mark.parametrize(("setting", "sentence", "fix"), SETTINGS.values(), ids=SETTINGS)
def test_settings(setting: str, sentence: str, fix: str) -> None:
    assert str(refused(f"{GOOD}{setting}\n".encode())) == f"{sentence}\n  fix: {fix}"


@pytest.mark.parametrize(("data", "sentence", "fix"), DATA.values(), ids=DATA)
def test_data(data: str, sentence: str, fix: str) -> None:
    content = f"name: good\nmodel: {{source: some/model}}\ndata: {data}\n"
    assert str(refused(content.encode())) == f"{sentence}\n  fix: {fix}"


def test_bad_name() -> None:
    assert str(refused(GOOD.replace("good", "My Model").encode())) == (
        "r.yaml:1: name: 'My Model' is not allowed here\n"
        "  fix: Name the versions are registered under: lower-case letters, digits, dots, dashes, underscores"
    )


def test_text_that_looks_like_a_number() -> None:
    error = refused(GOOD.replace("some/model}", "some/model, revision: 1234e56}").encode())
    assert str(error) == "r.yaml:2: model.revision: 1234e56 is not text or null\n  fix: put it in quotes: '1234e56'"


def test_nothing_of_what_is_required() -> None:
    error = refused(b"train: {epochs: 2}\n")
    assert isinstance(error, RecipeMistakes)
    assert [one.sentence for one in error.mistakes] == ["name: missing", "model: missing", "data: missing"]


def test_all_mistakes_at_once_in_the_order_of_their_lines() -> None:
    content = (
        "name: My\nmodel: {source: some/model, dtyp: auto}\ndata: {train: x}\n"
        "train:\n  epochs: -1\n  packing: 3\nmonitor: 1\n"
    )
    error = refused(content.encode(), "train.batch_size=none")
    assert str(error) == (
        "r.yaml: 6 mistakes\n"
        "  r.yaml:1: name: 'My' is not allowed here\n"
        "    fix: Name the versions are registered under: lower-case letters, digits, dots, dashes, underscores\n"
        "  r.yaml:2: model.dtyp: unknown key\n"
        "    fix: did you mean 'dtype'?\n"
        "  r.yaml:5: train.epochs: -1 is not a number above 0\n"
        "    fix: give a number above 0\n"
        "  r.yaml:6: train.packing: 3 is not true or false\n"
        "    fix: give true or false\n"
        "  r.yaml:7: monitor: 1 is not a mapping\n"
        "    fix: write `key: value` lines below it, indented by two spaces\n"
        "  --set train.batch_size=none: train.batch_size: 'none' is not a whole number of at least 1\n"
        "    fix: give a whole number of at least 1"
    )


OVERRIDES = {
    "no equals": ("train.epochs", "an override is `field=value`", "write it like `--set train.learning_rate=1e-4`"),
    "no field": ("=3", "an override is `field=value`", "write it like `--set train.learning_rate=1e-4`"),
    "gap": ("train..epochs=3", "an override is `field=value`", "write it like `--set train.learning_rate=1e-4`"),
    "no value": ("train.epochs=", "no value follows the '='", "write `null` to take a value away"),
    "extends": ("extends=x.yaml", "extends belongs in a file", "put `extends:` at the top of a recipe"),
    "typo": ("train.epoch=3", "train.epoch: unknown key", "did you mean 'epochs'?"),
    "bad value": ("train.epochs=[1", "a bracket that is never closed, or a comma missing", None),
    "wrong value": ("train.epochs=-1", "train.epochs: -1 is not a number above 0", "give a number above 0"),
    "below a value": ("name.x=1", "name is 'good' at r.yaml:1, not a section", "set `name` itself"),
    "item": (
        "evaluate.metrics.7=chrf",
        "evaluate.metrics is a list of 1; '7' is not the number of an item",
        "count from 0, or replace the whole list: `--set evaluate.metrics=[...]`",
    ),
}


@pytest.mark.parametrize(("override", "what", "fix"), OVERRIDES.values(), ids=OVERRIDES)
def test_overrides(override: str, what: str, fix: str | None) -> None:
    error = refused(f"{GOOD}evaluate: {{metrics: [chrf]}}\n".encode(), override)
    assert (error.what, error.where) == (what, f"--set {override}")
    assert fix is None or error.fix == fix


def test_missing_file_and_folder() -> None:
    Path("folder").mkdir()
    fix = "name a recipe file, or write one with `tunesmith init`"
    for name, what in (("no.yaml", "there is no such file"), ("folder", "this is a folder, not a recipe")):
        with pytest.raises(RecipeError) as caught:
            load_recipe(Path(name))
        assert str(caught.value) == f"{name}: {what}\n  fix: {fix}"


def test_nested_without_end() -> None:
    assert refused(b"name: " + b"[" * 5_000).what == "lists or mappings are nested too deeply"


def test_a_mistake_in_a_parent_names_the_parent() -> None:
    Path("base.yaml").write_text("train:\n  epoch: 1\n")
    error = refused(b"extends: base.yaml\n" + GOOD.encode())
    assert error.where == "base.yaml:2"


def test_no_jargon() -> None:
    """Nothing pydantic or PyYAML says by itself reaches the user."""
    for setting, _, _ in SETTINGS.values():
        words = str(refused(f"{GOOD}{setting}\n".encode())).lower()
        assert not any(
            word in words for word in ("pydantic", "input should", "validation error", "tag:", "literal", "tuple")
        )
