"""Who answers in an experiment; what is written down of it; what is said of the answers."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tunesmith.errors import StoreError
from tunesmith.experiment.experiment import Variant, new_experiment
from tunesmith.keys.key import ApiKey
from tunesmith.serve.access import ANYBODY, Caller
from tunesmith.serve.answer import Looked, look
from tunesmith.serve.catalogue import Catalogue, Target
from tunesmith.serve.feedback import keep, parse_feedback
from tunesmith.serve.problem import Problem
from tunesmith.serve.recorder import Recorder
from tunesmith.serve.spec import EngineSpec
from tunesmith.serve.traffic import Traffic
from tunesmith.store.database import Database
from tunesmith.store.tables import feedback, requests

ENGINE = EngineSpec(name="base", model="smol", source="/m", revision="sha256:1")
CATALOGUE = Catalogue(
    {"smol": Target("smol", ENGINE), **{f"story@{n}": Target(f"story@{n}", ENGINE, f"story@{n}") for n in (1, 2)}},
    {"story": "story@1", "story@champion": "story@1"},
    {},
)
PROMPT = ({"role": "system", "content": "Be brief."},)
EXPERIMENT = new_experiment(
    "story.1", "story", "salt",
    {"control": Variant(version="story@1"), "v2": Variant(version="story@2"), "prompt": Variant(messages=PROMPT)}, "ab",
)  # fmt: skip
TRAFFIC = Traffic.of([EXPERIMENT])
SHOP = Caller("shop", ("infer",), ApiKey("k1", "d", "shop", ("infer",), None, None, datetime.now(UTC), "ann"))


def route(model: Any = "story", user: Any = "ann", caller: Caller = SHOP, **changes: Any) -> Any:
    values: dict[str, Any] = {"session": None, "forced": None, **changes}
    return TRAFFIC.route(model, user, values["session"], values["forced"], caller, CATALOGUE)


def test_users_are_split_and_stay() -> None:
    seen = {user: route(user=f"user-{user}").variant for user in range(300)}
    assert set(seen.values()) == {"control", "v2", "prompt"}
    assert all(route(user=f"user-{user}").variant == variant for user, variant in seen.items())
    assert route("story@champion", "user-7").variant == seen[7]


def test_a_version_and_the_base_are_outside_of_it() -> None:
    for model in ("story@2", "smol"):
        assert route(model).experiment is None


def test_a_prompt_is_a_variant_of_the_base() -> None:
    routed = route(forced="prompt", caller=ANYBODY)
    assert (routed.target.model, routed.target.messages, routed.role) == ("smol", PROMPT, "forced")


def test_who_a_user_is() -> None:
    units = {
        route(user="ann").unit, route(user="bob").unit, route(user=None, session="ann").unit, route(user=None).unit,
        route(user="ann", caller=ANYBODY).unit,
    }  # fmt: skip
    assert len(units) == 5
    assert route(user=None).unit == route(user=None).unit
    assert route(user=None, caller=ANYBODY).unit != route(user=None, caller=ANYBODY).unit
    assert all("ann" not in str(unit) for unit in units)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ({"user": 7}, 400), ({"user": "x" * 1000}, 400), ({"forced": "v2"}, 403),
        ({"forced": "v9", "caller": ANYBODY}, 400), ({"model": "smol", "forced": "v2", "caller": ANYBODY}, 400),
        ({"model": "nothing"}, 404),
    ],
)  # fmt: skip
def test_what_may_not_be_asked_for(arguments: dict[str, Any], status: int) -> None:
    with pytest.raises(Problem) as caught:
        route(**arguments)
    assert caught.value.status == status


def test_shadows_are_asked_beside_the_control() -> None:
    shadow = Traffic.of([new_experiment("story.1", "story", "s", dict(EXPERIMENT.variants), "shadow")])
    routed = shadow.route("story", "ann", None, None, SHOP, CATALOGUE)
    assert routed.variant == "control"
    assert [(name, target.model) for name, target in routed.shadows] == [("v2", "story@2"), ("prompt", "smol")]


def whole(text: str | None, reason: str = "stop", **message: Any) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text, **message}, "finish_reason": reason}]}).encode()


def streamed(*pieces: str, reason: str = "stop") -> bytes:
    lines = [json.dumps({"choices": [{"index": 0, "delta": {"content": one}}]}) for one in pieces]
    lines.append(json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}))
    lines.append(json.dumps({"choices": [], "usage": {}}))
    return "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()


AGE = {"type": "object", "required": ["age"]}


@pytest.mark.parametrize(
    ("raw", "stream", "schema", "expected"),
    [
        (whole("Hello"), False, None, Looked(False, False, None)),
        (whole("  "), False, None, Looked(True, False, None)),
        (whole(None, tool_calls=[{}]), False, None, Looked(False, False, None)),
        (whole("Hel", "length"), False, AGE, Looked(False, True, None)),
        (whole('{"age": 3}'), False, AGE, Looked(False, False, False)),
        (whole('{"name": 3}'), False, AGE, Looked(False, False, True)),
        (whole("three"), False, AGE, Looked(False, False, True)),
        (streamed("Hel", "lo"), True, None, Looked(False, False, None)),
        (streamed("", ""), True, None, Looked(True, False, None)),
        (streamed('{"age"', ": 3}"), True, AGE, Looked(False, False, False)),
        (streamed("a", reason="length"), True, None, Looked(False, True, None)),
        (b'{"choices": [{"text": "a", "finish_reason": "stop"}]}', False, None, Looked(False, False, None)),
        (b"data: {broken", True, None, Looked()),
        (b"", False, None, Looked()),
        (b'{"data": []}', False, None, Looked()),
    ],
)
def test_answers_are_looked_at(raw: bytes, stream: bool, schema: dict[str, Any] | None, expected: Looked) -> None:
    assert look(raw, stream, schema) == expected


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database.open(f"sqlite:///{tmp_path}/registry.db")


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"{number:032x}", "at": 1_800_000_000.0, "tenant": "shop", "model": "story", "version": "story@1",
        "experiment": None, "variant": None, "epoch": None, "unit": None, "role": "live", "status": 200,
        "first_seconds": 0.1, "seconds": 1.0, "pieces": 3, "empty": None, "truncated": None, "invalid": None, **changes,
    }  # fmt: skip


def ids(database: Database) -> list[str]:
    with database.reading() as connection:
        return sorted(connection.execute(select(requests.c.id)).scalars())


def test_requests_are_written_in_batches_and_once(database: Database, tmp_path: Path) -> None:
    recorder = Recorder(database, tmp_path / "requests")
    for number in (*range(1200), 5, 6):
        recorder.note(row(number))
    assert ids(database) == []
    recorder.flush()
    assert len(ids(database)) == 1200
    recorder.note(row(7))
    recorder.note(row(2000))
    recorder.close()
    assert len(ids(database)) == 1201
    assert list((tmp_path / "requests").iterdir()) == []


def test_a_killed_gateway_loses_nothing(database: Database, tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, os.getcwd())\n"
        "from tests.unit.serve.test_traffic import row\n"
        "from tunesmith.serve.recorder import Recorder\n"
        "from tunesmith.store.database import Database\n"
        f"database = Database.open({f'sqlite:///{tmp_path}/registry.db'!r})\n"
        f"recorder = Recorder(database, Path({str(tmp_path / 'requests')!r}))\n"
        "[recorder.note(row(number)) for number in range(50)]\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[3], capture_output=True)
    assert done.returncode == -9, done.stderr
    alive = Recorder(database, tmp_path / "requests")
    assert len(ids(database)) == 50
    # That of a gateway that lives is its own.
    alive.note(row(99))
    Recorder(database, tmp_path / "requests").close()
    assert len(ids(database)) == 50
    alive.close()
    assert len(ids(database)) == 51


def test_a_database_that_is_gone_is_waited_for(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(database, tmp_path / "requests")
    recorder.note(row(1))

    def gone(*_: Any) -> None:
        raise StoreError("the database is gone")

    with monkeypatch.context() as patch:
        patch.setattr("tunesmith.serve.recorder.store", gone)
        patch.setattr("tunesmith.serve.recorder.MOST", 2)
        with pytest.raises(StoreError):
            recorder.flush()
        recorder.note(row(2))
        recorder.note(row(3))
    assert recorder.lost == 1
    recorder.flush()
    assert len(ids(database)) == 2


GOOD = f"chatcmpl-{1:032x}"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"thumb": "up"}, {"thumb": (1.0, None)}),
        ({"thumb": False}, {"thumb": (0.0, None)}),
        ({"thumb": -1, "score": 3}, {"thumb": (0.0, None), "score": (3.0, None)}),
        ({"correction": "So.", "label": "a"}, {"label": (None, "a"), "correction": (None, "So.")}),
        ({"metrics": {"turns": 2}}, {"turns": (2.0, None)}),
    ],
)
def test_feedback_that_is_taken(body: dict[str, Any], said: dict[str, Any]) -> None:
    assert parse_feedback({"id": GOOD, **body}) == (f"{1:032x}", said)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], None), ({"thumb": "up"}, "id"), ({"id": "chatcmpl-1", "thumb": "up"}, "id"), ({"id": GOOD}, "thumb"),
        ({"id": GOOD, "thumb": "maybe"}, "thumb"), ({"id": GOOD, "thumb": []}, "thumb"),
        ({"id": GOOD, "score": "5"}, "score"), ({"id": GOOD, "score": True}, "score"),
        ({"id": GOOD, "score": 1e300}, "score"), ({"id": GOOD, "text": "x" * 200_000}, "text"),
        ({"id": GOOD, "text": "a\0"}, "text"), ({"id": GOOD, "stars": 5}, "stars"),
        ({"id": GOOD, "metrics": {"Bad Name": 1}}, "metrics"), ({"id": GOOD, "metrics": {"thumb": 1}}, "metrics"),
        ({"id": GOOD, "metrics": {str(n): 1 for n in range(50)}}, "metrics"), ({"id": GOOD, "metrics": 3}, "metrics"),
    ],
)  # fmt: skip
def test_feedback_that_is_refused(body: object, param: str | None) -> None:
    with pytest.raises(Problem) as caught:
        parse_feedback(body)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_the_last_word_counts_and_only_of_ones_own_answers(database: Database, tmp_path: Path) -> None:
    recorder = Recorder(database, tmp_path / "requests")
    recorder.note(row(1))
    recorder.close()
    found, said = parse_feedback({"id": GOOD, "thumb": "up", "text": "good"})
    assert keep(database, found, said, "shop")
    assert keep(database, found, said, "shop")
    assert keep(database, found, parse_feedback({"id": GOOD, "thumb": "down"})[1], "shop")
    assert not keep(database, found, said, "another")
    assert not keep(database, f"{2:032x}", said, "shop")
    with database.reading() as connection:
        rows = connection.execute(select(feedback.c.metric, feedback.c.value, feedback.c.text)).all()
    assert sorted(rows, key=str) == [("text", None, "good"), ("thumb", 0.0, None)]


def test_noting_takes_microseconds(database: Database, tmp_path: Path) -> None:
    import time

    recorder = Recorder(database, tmp_path / "requests")
    began = time.perf_counter()
    for number in range(2000):
        recorder.note(row(number))
    assert (time.perf_counter() - began) / 2000 < 0.001
    assert next((tmp_path / "requests").iterdir()).stat().st_size > 2000 * 200
