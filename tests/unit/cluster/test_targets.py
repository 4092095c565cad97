"""The file of clusters: what it may say, and the sentence for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.cluster.targets import Target, TargetError, find_target, header_of, read_targets, token_of
from tunesmith.errors import TunesmithError

GOOD = """\
targets:
  lab:
    address: https://head.example:8265/
    storage: s3://bucket/tunesmith
    token_file: ~/lab.token
    headers_env: {X-Proxy-Key: MY_KEY}
  own: {address: "http://127.0.0.1:8265"}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "targets.yaml"
    path.write_text(GOOD)
    monkeypatch.setenv("TUNESMITH_TARGETS", str(path))
    return path


def test_a_target_is_found_by_its_name(file: Path) -> None:
    lab = find_target("lab", None, None)
    assert (lab.address, lab.storage) == ("https://head.example:8265", "s3://bucket/tunesmith")
    assert find_target("lab", None, "s3://other/place").storage == "s3://other/place"
    assert find_target(None, "http://head:8265", None).address == "http://head:8265"


@pytest.mark.parametrize(
    ("name", "address", "message"),
    [
        ("labb", None, "there is no target 'labb'"),
        (None, None, "no cluster is named"),
        (None, "head:8265", "'head:8265' is no address of a dashboard"),
        (None, "ray://head:10001", "'ray://head:10001' is no address of a dashboard"),
    ],
)
def test_what_is_not_clear_is_refused(file: Path, name: str | None, address: str | None, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        find_target(name, address, None)


@pytest.mark.parametrize("storage", ["s3://KEY:hunter2@bucket/x", "s3://bucket/x?secret_key=hunter2&access_key=K"])
def test_keys_in_a_storage_are_refused_and_not_repeated(file: Path, storage: str) -> None:
    with pytest.raises(TargetError, match="the URL holds a") as caught:
        find_target("own", None, storage)
    assert "hunter2" not in str(caught.value)


def test_a_token_of_two_lines_is_refused_and_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter2\nhunter3")
    with pytest.raises(TargetError, match="not one line of plain characters") as caught:
        token_of(Target(address="http://h:1", token_file=str(tmp_path / "token")))
    assert "hunter" not in str(caught.value)


def test_one_target_needs_no_name(file: Path) -> None:
    file.write_text('targets: {own: {address: "http://127.0.0.1:8265"}}')
    assert find_target(None, None, None).address == "http://127.0.0.1:8265"


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("targets: {a: {adress: http://h:1}}", "targets.yaml:1", "unknown key"),
        ("targets:\n  a:\n    address: h", "targets.yaml:3", "'h' is no address of a dashboard"),
        ("targets: {a: {address: http://u:secret@h:1}}", "targets.yaml:1", "holds a password"),
        ("targets: {a: {address: http://h:1, token_env: 'x y'}}", "targets.yaml:1", "token_env"),
        ("targets: {a: {address: http://h:1, token: abc}}", "targets.yaml:1", "unknown key"),
        ("[1]", "targets.yaml:1", "mapping"),
        ("targets: {a: {storage: s3://b}}", "targets.yaml:1", "none of address, launcher and kubernetes"),
        ("targets: {a: {address: http://h:1, launcher: x}}", "targets.yaml:1", "there are address and launcher"),
        ("targets: {a: {kubernetes: {service: --x}}}", "targets.yaml:1", "service"),
        ("targets: {a: {kubernetes: {service: x, context: -x}}}", "targets.yaml:1", "context"),
    ],
)
def test_every_mistake_is_named_with_its_line(file: Path, text: str, where: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(TunesmithError, match=message) as caught:
        read_targets(file)
    assert where in str(caught.value)
    assert "secret" not in str(caught.value)


def test_tokens_come_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = find_target(None, "http://h:1", None)
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    assert token_of(target) is None
    monkeypatch.setenv("RAY_AUTH_TOKEN", "abc")
    assert token_of(target) == "abc"
    (tmp_path / "token").write_text("def\n")
    assert token_of(target.model_copy(update={"token_file": str(tmp_path / "token")})) == "def"
    with pytest.raises(TargetError, match="the token cannot be read"):
        token_of(target.model_copy(update={"token_file": str(tmp_path / "gone")}))
    with pytest.raises(TargetError, match="NOT_THERE is not set"):
        header_of("NOT_THERE")
