"""What `tunesmith serve` would start, and what it refuses before anything is started."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import tiny_models, tiny_versions
from tunesmith.keys.keyring import Keyring
from tunesmith.plan.catalog import this_machine
from tunesmith.recipe.method import MethodSection
from tunesmith.recipe.model import ModelSection
from tunesmith.recipe.serve import EngineSection, ServeSection
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion
from tunesmith.serve.app import planned
from tunesmith.serve.bases import base_name
from tunesmith.serve.catalogue import read_catalogue
from tunesmith.serve.hardware import on_this_hardware
from tunesmith.serve.plan import is_loopback, plan_serving
from tunesmith.serve.spec import TOKEN, ServeError, engine_token
from tunesmith.store.database import Database
from tunesmith.store.home import Home, find_home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    return find_home()


def test_engine_and_gateway_are_those_of_the_recipe(home: Home, tmp_path: Path) -> None:
    version = tiny_versions.register(tmp_path, MethodSection(rank=24))
    section = ServeSection(names=("other",), port=8123, engine=EngineSection(max_sequences=4))
    plan = plan_serving("tiny", ModelSection(source=str(tmp_path / "base")), section, home, tmp_path)
    (engine,) = plan.engines
    assert engine.revision == version.base_revision
    assert (engine.name, engine.model, engine.max_rank, engine.settings.max_sequences) == ("base", "base", 32, 4)
    assert plan.gateway.names == ("tiny", "other")
    assert (plan.gateway.address, plan.gateway.keys) == ("http://127.0.0.1:8123", "auto")


def test_a_version_in_the_weights_needs_room_for_two(home: Home, tmp_path: Path) -> None:
    tiny_versions.register(tmp_path, MethodSection(rank=24))
    model = ModelSection(source=str(tmp_path / "base"))
    engine = plan_serving("tiny", model, ServeSection(fast="tiny@champion"), home, tmp_path).engines[0]
    assert (engine.fast, engine.max_rank, engine.version_rank) == ("tiny@champion", 64, 32)
    for wrong in ("other", "tiny@3", "tiny@"):
        with pytest.raises(ServeError, match=f"'{wrong}' is no served name and no alias of one"):
            plan_serving("tiny", model, ServeSection(fast=wrong), home, tmp_path)
    with pytest.raises(ServeError, match="compared with what the parity check has seen, and that is off"):
        plan_serving("tiny", model, ServeSection(fast="tiny", parity="off"), home, tmp_path)


def test_a_full_fine_tune_is_a_base_of_its_own(home: Home, tmp_path: Path) -> None:
    tiny_versions.register(tmp_path)
    folder = tiny_models.save(tmp_path / "whole")
    new = NewVersion(
        name="whole", kind="full", base_model="base", base_revision="sha256:1", recipe_hash="r", recipe={},
        created_by="ann", verdict="passed",
    )  # fmt: skip
    Registry.open(home).register(new, folder)
    model = ModelSection(source=str(tmp_path / "base"))
    base, whole = plan_serving("tiny", model, ServeSection(names=("whole",)), home, tmp_path).engines
    assert (base.name, base.version, whole.name, whole.version) == ("base", None, "full-1", "whole@1")
    # Alone, the base it once came from is not even looked for.
    plan = plan_serving("whole", ModelSection(source="./gone"), ServeSection(), home, tmp_path)
    (alone,) = plan.engines
    assert (alone.name, alone.model, alone.revision, plan.base) == ("base", "whole@1", "version:whole@1", None)
    with pytest.raises(ServeError, match="in an engine's weights already"):
        plan_serving("whole", ModelSection(source="./gone"), ServeSection(fast="whole"), home, tmp_path)
    checks = {("whole@1", alone.kind): (True, "")}
    found = read_catalogue(Registry.open(home), [alone], ["whole"], checks)
    assert (found.find("whole").version, found.find("whole@1").engine) == ("whole@1", alone)
    assert not read_catalogue(Registry.open(home), [alone], ["whole"], {}).targets
    assert read_catalogue(Registry.open(home), [base], ["whole"], checks).refused["whole@1"].startswith("it holds full")


def test_versions_are_served_on_the_base_they_were_trained_beside(home: Home, tmp_path: Path) -> None:
    wide = {"hidden_size": 64, "intermediate_size": 128}
    plain = tiny_versions.register(tmp_path, **wide)
    qlora = {"method": {"type": "qlora", "rank": 4}}
    adapter = tiny_versions.adapter(tmp_path / "rounded", MethodSection(rank=32), **wide)
    new = NewVersion(
        name="tiny", kind="adapter", base_model=plain.base_model, base_revision=plain.base_revision, recipe_hash="r2",
        recipe=qlora, created_by="ann", verdict="passed",
    )  # fmt: skip
    rounded = Registry.open(home).register(new, adapter)
    model = ModelSection(source=str(tmp_path / "base"), dtype="float32")
    engines = plan_serving("tiny", model, ServeSection(), home, tmp_path).engines
    assert [(one.name, one.model, one.max_rank) for one in engines] == [
        ("base", "base", 16), ("nf4-double", "base-nf4-double", 32),
    ]  # fmt: skip
    assert engines[0].weights == engines[1].source == str(tmp_path / "base")
    assert Path(engines[1].weights).parent == home.models
    assert engines[0].kind != engines[1].kind
    registry = Registry.open(home)
    found = read_catalogue(registry, engines, ["tiny"])
    assert found.find(plain.reference).engine == engines[0]
    assert found.find(rounded.reference).engine == engines[1]
    assert set(found.targets) == {"base", "base-nf4-double", "tiny@1", "tiny@2"}
    assert read_catalogue(registry, engines[:1], ["tiny"]).refused[rounded.reference] == (
        "it was trained beside a base rounded to nf4-double, and no engine has been started with that"
    )


@pytest.mark.parametrize(
    ("saved", "has_it", "settings", "computes"),
    [
        ("bfloat16", False, {}, "float32"), ("bfloat16", True, {}, "auto"), ("float32", False, {}, "auto"),
        ("bfloat16", False, {"dtype": "bfloat16"}, "bfloat16"), ("bfloat16", False, {"device": "gpu"}, "auto"),
    ],
)  # fmt: skip
def test_auto_is_no_type_that_the_processor_only_emulates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: str, has_it: bool, settings: dict[str, Any], computes: str
) -> None:
    here = replace(this_machine(), accelerator=None, bfloat16=has_it)
    monkeypatch.setattr("tunesmith.serve.hardware.this_machine", lambda: here)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "config.json").write_text(json.dumps({"dtype": saved}))
    assert on_this_hardware(EngineSection(**settings), tmp_path).dtype == computes


def test_an_endpoint_for_others_needs_keys(home: Home, tmp_path: Path) -> None:
    tiny_versions.register(tmp_path)
    model, section = ModelSection(source=str(tmp_path / "base")), ServeSection(host="0.0.0.0")
    with pytest.raises(ServeError, match="there is no API key yet"):
        plan_serving("tiny", model, section, home, tmp_path)
    Keyring(Database.open(home.database_url)).create("shop", ("infer",), "ann")
    assert plan_serving("tiny", model, section, home, tmp_path).gateway.address == "http://127.0.0.1:8000"
    with pytest.raises(ServeError, match="there keys cannot be off"):
        plan_serving("tiny", model, section.model_copy(update={"keys": "off"}), home, tmp_path)


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
     ("a.example", False)],
)  # fmt: skip
def test_loopback(host: str, own: bool) -> None:
    assert is_loopback(host) == own


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("smollm2-135m-instruct", "smollm2-135m-instruct"), ("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B"),
        ("./models/own/", "own"), ("s3://bucket/models/own", "own"), ("m/x.gguf", "x.gguf"),
    ],
)  # fmt: skip
def test_what_clients_call_a_base(source: str, name: str) -> None:
    assert base_name(source) == name


@pytest.mark.parametrize("token", ["", "short"])
def test_a_secret_is_needed(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, token)
    with pytest.raises(ServeError, match="engines and gateways need a secret in common"):
        engine_token()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"vllm": {"max_loras": 2}}, "vllm.max_loras is set by a field of its own"),
        ({"vllm": {"allowed_local_media_path": "/"}}, "or is not offered"),
        ({"max_adapters": 8, "max_adapters_kept": 4}, "is below max_adapters"),
        ({"autoscale": {"min_replicas": 5}}, "is above max_replicas"),
    ],
)
def test_settings_that_make_no_sense(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EngineSection.model_validate(values)


def test_traffic_is_written_down_where_the_recipe_says_so(home: Home, tmp_path: Path) -> None:
    """Also where a registered name is served by the recipe that it was made with."""
    from tunesmith.cli.serve import _asked

    watched = {"monitor": {"traffic": {"rate": 0.25}}}
    tiny_versions.register(tmp_path, recipe=watched)
    model = {"source": str(tmp_path / "base")}
    recipe = tmp_path / "recipe.yaml"
    for sections, rate in (({}, None), (watched, 0.25), ({"monitor": {}}, 1.0)):
        recipe.write_text(json.dumps({"name": "tiny", "model": model, "data": {"train": "none.jsonl"}, **sections}))
        traffic = planned({"recipe": str(recipe)}).gateway.traffic
        assert (traffic and traffic.rate) == rate
        traffic = _asked(str(recipe), (), home)[4]
        assert (traffic and traffic.rate) == rate
    traffic = _asked("tiny", (), home)[4]
    assert traffic is not None and traffic.rate == 0.25
    traffic = planned({"recipe": str(recipe), "set": ["monitor.traffic.rate=0.5"]}).gateway.traffic
    assert traffic is not None and traffic.rate == 0.5
