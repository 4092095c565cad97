"""`tunesmith review`, as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.evaluate.made_up import report_of
from tests.unit.serve.ports import free_port
from tunesmith.monitor.traffic.rows import TrafficRow
from tunesmith.monitor.traffic.write import write_traffic
from tunesmith.review.reviews import Reviews
from tunesmith.store.database import Database
from tunesmith.store.home import find_home

TEXTS = ["one two", "three four", "five six", "seven eight"]


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.json"
    tuned = [*TEXTS[:3], "the same"]
    path.write_bytes(report_of(TEXTS, ["no"] * 4, ["nearly"] * 3 + ["the same"], tuned).to_json())
    return path


def reviews() -> Reviews:
    return Reviews(Database.open(find_home().database_url))


def test_pairs_from_a_report_are_blind_and_come_once(tunesmith: Run, report: Path) -> None:
    added = json.loads(tunesmith("review", "add", "functions", "--from", str(report), "--json").stdout)
    assert added == {"name": "functions", "found": 3, "added": 3, "items": 3}
    assert (
        "0 added to functions, 3 were there already"
        in tunesmith("review", "add", "functions", "--from", "report.json").stdout
    )
    assert "1 added" in tunesmith("review", "add", "others", "--from", "report.json", "--most", "1").stdout
    assert "4 added" in tunesmith("review", "add", "functions", "--from", "report.json", "--against", "base").stdout
    items = reviews().items("functions")
    assert {len(one.answers) for one in items} == {2} and {one.messages[0]["role"] for one in items} == {"user"}
    assert json.loads(tunesmith("review", "ls", "--json").stdout)[0] == {"name": "functions", "items": 7, "ratings": 0}
    assert "functions" in tunesmith("review", "ls").stdout


def test_pairs_from_traffic_are_live_and_shadow_of_one_request(tunesmith: Run, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    asked = json.dumps([{"role": "user", "content": [{"type": "text", "text": "Hello?"}]}])

    def row(number: int, role: str = "live", **more: Any) -> TrafficRow:
        version = "summaries@2" if role == "shadow" else "summaries@1"
        values = {"version": version, "answer": f"{version} {number}", "role": role, **more}
        return TrafficRow(id=f"{role}{number}", at=now, name="summaries", model="summaries", messages=asked, **values)

    rows = [row(n) for n in range(5)]
    rows += [row(n, "shadow", request_of=f"live{n}") for n in range(3)]
    rows += [
        row(3, "shadow", request_of="live3", answer="summaries@1 3"), row(4, "shadow", request_of="live4", answer=None),
        row(9, "shadow", request_of="live9"), row(8),
    ]  # fmt: skip
    write_traffic(find_home(), rows)
    added = json.loads(tunesmith("review", "add", "summaries", "--from-traffic", "--json").stdout)
    assert added["added"] == 3
    items = reviews().items("summaries")
    assert sorted(str(one.request) for one in items) == ["live0", "live1", "live2"]
    assert {one.messages[0]["content"] for one in items} == {"Hello?"}
    assert {tuple(one.sources) for one in items} == {("summaries@2", "summaries@1")}


def test_results_in_words_and_json(tunesmith: Run, report: Path) -> None:
    tunesmith("review", "add", "functions", "--from", "report.json")
    for item in reviews().items("functions"):
        for rater in ("ann", "bob"):
            reviews().rate(item.id, rater, item.sources[0], {item.sources[0]: {"style": 4}}, seconds=5)
    shown = tunesmith("review", "results", "functions").stdout
    assert "functions: 3 of 3 items judged, 6 ratings (0 could not say), 0 corrected answers" in shown
    assert "strength" in shown and "style" in shown and "ann" in shown and "0.25" in shown
    found = json.loads(tunesmith("review", "results", "functions", "--json").stdout)
    (preference,) = found["preferences"]
    assert (preference["wins"], preference["losses"], preference["p"]) == (3, 0, 0.25)
    assert found["agreement"]["choice"]["value"] is None and len(found["strengths"]) == 2


def test_names_from_files_do_not_steer_the_terminal(tunesmith: Run, tmp_path: Path) -> None:
    steer, turn, at = "\x1b]0;owned\x07\x1b[2J", "\u202e", "2026-11-27T06:00:00+00:00"
    lines = [
        {
            "name": "functions", "messages": [{"role": "user", "content": str(number)}],
            "answers": [{"source": f"new{steer}", "text": "1"}, {"source": f"old{turn}", "text": "2"}],
            "gold": {"choice": f"new{steer}"} if number < 20 else None,
            "ratings": [{"rater": f"eve{steer}", "at": at, "choice": f"old{turn}"}],
        }
        for number in range(24)
    ]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    tunesmith("review", "import", "rows.jsonl")
    shown = tunesmith("review", "results", "functions").stdout
    assert "without eve\\x1b]0;owned" in shown and "new\\x1b" in shown and "\\u202e" in shown
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)


@pytest.mark.parametrize("name", ["all.jsonl", "all.json"])
def test_export_and_import(tunesmith: Run, report: Path, tmp_path: Path, name: str) -> None:
    tunesmith("review", "add", "functions", "--from", "report.json")
    for item in reviews().items("functions"):
        reviews().rate(item.id, "ann@example.com", "tie", correction="as it should be")
    before = reviews().ratings("functions")
    tunesmith("review", "export", "functions", "-o", name, "--labelling-config", "interface.xml")
    assert "<Pairwise" in (tmp_path / "interface.xml").read_text()
    elsewhere = {"TUNESMITH_HOME": str(tmp_path / "other")}
    done = json.loads(tunesmith("review", "import", name, "--json", **elsewhere).stdout)
    assert done == {"items": 3, "added": 3, "ratings": 3, "newer": 3}
    again = tunesmith("review", "import", name, **elsewhere).stdout
    assert "0 of 3 items are new, 0 of 3 ratings" in again
    assert Reviews(Database.open(f"sqlite:///{tmp_path}/other/registry.db")).ratings("functions") == before
    printed = tunesmith("review", "export", "functions").stdout
    assert [json.loads(line)["name"] for line in printed.splitlines()] == ["functions"] * 3


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("review add functions", "say what to add"),
        ("review add functions --from nothing.json", "nothing.json: the report cannot be read"),
        ("review add functions --from report.json --against bets", "'bets' is nobody to compare with"),
        ("review add ../x --from report.json", "name: '../x' is not a registered name"),
        ("review add functions --rubric rubric.yaml", "rubric.yaml:2: scales.0: a scale from 2 to 1 does not go up"),
        ("review add functions --rubric no.yaml", "no.yaml: there is no such file"),
        ("review add functions --from-traffic --days nan", "nan is not a number of days"),
        ("review add functions --from-traffic --days inf", "is not in the range"),
        ("review add functions --from-traffic --days 1e9", "is not in the range"),
        ("monitor status functions --days nan", "nan is not a number of days"),
        ("review import nothing.jsonl", "nothing.jsonl: the file cannot be read"),
        ("review results functions", "there is no registry here"),
    ],
)
def test_mistakes_are_named(tunesmith: Run, report: Path, tmp_path: Path, command: str, message: str) -> None:
    (tmp_path / "rubric.yaml").write_text("scales:\n  - {name: style, low: 2, high: 1}\n")
    answer = tunesmith(*command.split(), exit_code=2)
    assert message in answer.stderr and "Traceback" not in answer.stderr
    assert not (tmp_path / ".tunesmith" / "registry.db").exists() or not reviews().names()


def test_a_rubric_is_kept_for_a_name(tunesmith: Run, tmp_path: Path) -> None:
    (tmp_path / "rubric.yaml").write_text("raters: 3\nscales:\n  - {name: tone, low: 0, high: 3}\n")
    tunesmith("review", "add", "functions", "--rubric", "rubric.yaml")
    rubric = reviews().rubric("functions")
    assert (rubric.raters, [scale.name for scale in rubric.scales]) == (3, ["tone"])


@pytest.mark.slow
def test_the_page_is_served_until_it_is_ended(program: list[str], tmp_path: Path) -> None:
    port = free_port()
    serve = [*program, "review", "serve", "--port", str(port), "--json"]
    environment = {**os.environ, "TUNESMITH_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None and server.stderr is not None
        assert json.loads(server.stdout.readline()) == {"address": f"http://127.0.0.1:{port}"}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as page:
            assert "API key" in page.read().decode()
        second = subprocess.run(serve, capture_output=True, text=True, env=environment)
        assert second.returncode == 2 and f"127.0.0.1:{port}: cannot listen there" in second.stderr
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
        assert "no key may review yet" in server.stderr.read()
