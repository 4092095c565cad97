"""Names: what each means now, what is served of what is registered, and why the rest is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests import tiny_versions
from tunesmith.recipe.method import MethodSection
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import Version
from tunesmith.serve.catalogue import read_catalogue
from tunesmith.serve.problem import Problem
from tunesmith.serve.spec import EngineSpec
from tunesmith.store.home import find_home


@pytest.fixture
def registry(version: Version) -> Registry:
    return Registry.open(find_home())


def engine(version: Version, max_rank: int = 16) -> EngineSpec:
    return EngineSpec(name="base", model="smol", source="/m", revision=str(version.base_revision), max_rank=max_rank)


def test_a_name_its_aliases_its_versions_and_the_base_are_served(registry: Registry, version: Version) -> None:
    registry.move_alias("tiny", "champion", 1, "ann", "first")
    found = read_catalogue(registry, [engine(version)], ["tiny"])
    assert set(found.targets) == {"smol", "tiny@1"}
    assert found.aliases == {"tiny@champion": "tiny@1", "tiny": "tiny@1"}
    target = found.find("tiny")
    assert (target.model, target.version, target.system) == ("tiny@1", "tiny@1", "Be kind.")
    assert found.find("smol").version is None
    ids = {one["id"]: one for one in found.cards()}
    assert set(ids) == {"smol", "tiny@1", "tiny@champion", "tiny"}
    assert ids["tiny"]["alias_of"] == "tiny@1" and ids["tiny@1"]["parent"] == "smol"
    assert ids["tiny@1"]["lineage"]["content_hash"] == version.content_hash


def test_a_name_without_a_champion_is_its_newest_that_passed(registry: Registry, version: Version) -> None:
    assert read_catalogue(registry, [engine(version)], ["tiny"]).aliases["tiny"] == "tiny@1"


@pytest.mark.parametrize("name", ["tiny@2", "tinny", "", None, 7, "x" * 10**6, "../../etc/passwd", "tiny@1\n"])
def test_unknown_names_are_refused(registry: Registry, version: Version, name: object) -> None:
    found = read_catalogue(registry, [engine(version)], ["tiny"])
    with pytest.raises(Problem) as caught:
        found.find(name)
    assert caught.value.status == (404 if isinstance(name, str) and name else 400)
    assert len(caught.value.message) < 400


def test_the_nearest_name_is_said(registry: Registry, version: Version) -> None:
    with pytest.raises(Problem, match="there is no model 'tinny'; did you mean 'tiny'"):
        read_catalogue(registry, [engine(version)], ["tiny"]).find("tinny")


def test_an_adapter_of_another_base_is_not_served(registry: Registry, version: Version) -> None:
    other = engine(replace(version, base_revision="sha256:other"))
    with pytest.raises(Problem, match=r"tiny@1 is not served: its base is .* of revision sha256:"):
        read_catalogue(registry, [other], ["tiny"]).find("tiny")


def test_what_vllm_refuses_is_refused_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    version = tiny_versions.register(tmp_path, MethodSection(rank=4, dora=True))
    with pytest.raises(Problem, match="it was trained with DoRA, which vLLM does not serve"):
        read_catalogue(Registry.open(find_home()), [engine(version)], ["tiny"]).find("tiny@1")


def test_a_rank_above_the_engines_is_refused(registry: Registry, version: Version) -> None:
    with pytest.raises(Problem, match="its rank is 4 and the engine takes at most 2"):
        read_catalogue(registry, [engine(version, max_rank=2)], ["tiny"]).find("tiny@1")


def test_damaged_files_are_not_served(registry: Registry, version: Version) -> None:
    config = registry.fetch(version) / "adapter_config.json"
    config.chmod(0o644)
    config.write_text(config.read_text() + " ")
    with pytest.raises(Problem, match=r"tiny@1 is not served: the artefact is damaged: 'adapter_config\.json' has"):
        read_catalogue(registry, [engine(version)], ["tiny"]).find("tiny@1")
