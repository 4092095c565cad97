"""How a name stands, and the page about it: hostile texts stay texts."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tunesmith.errors import StoreError
from tunesmith.monitor.examples import region_examples
from tunesmith.monitor.findings import Finding, Findings
from tunesmith.monitor.page import monitor_page
from tunesmith.monitor.standing import stand
from tunesmith.monitor.traffic.rows import TrafficRow
from tunesmith.monitor.traffic.write import write_traffic
from tunesmith.store.database import Database
from tunesmith.store.home import Home

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e\ud800"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, f"sqlite:///{tmp_path}/registry.db", str(tmp_path / "artifacts"))


def found(rule: str, hours: float, fired: bool = False, **evidence: Any) -> Finding:
    kind: Any = rule.partition(".")[0]
    reason = f"{rule} {'fired' if fired else 'did not'}: {HOSTILE}"
    return Finding("story", NOW - timedelta(hours=hours), rule, kind, fired, reason, evidence, "story@2")


def week(region: list[str]) -> list[Finding]:
    """A week's findings: drift in the last windows, thumbs that fell, a golden set, health."""
    findings = [
        Finding("story", NOW - timedelta(days=9), "drift.alarm", "drift", True, "the version before", {}, "story@1")
    ]
    for window in range(6):
        hours, late = 60.0 - 10 * window, window >= 4
        span = {
            "window": window, "since": (NOW - timedelta(hours=hours + 10)).isoformat(),
            "until": (NOW - timedelta(hours=hours)).isoformat(),
        }  # fmt: skip
        for name in ("length", "language", "all"):
            fires = late and name != "language"
            size = 0.1 + 0.3 * fires
            evidence = {"statistic": size, "threshold": 0.2} if name == "all" else {"effect": size, "floor": 0.2}
            findings.append(found(f"drift.{name}", hours, fires, **evidence, corrected=0.5, **span))
        findings.append(found("drift.alarm", hours, window == 5, **span, region=region if late else []))
        recent = 0.9 - 0.1 * window
        findings.append(
            found("quality.thumb.adwin", hours, window == 5, metric="thumb", count=100 * window, first=0.9,
                  recent=recent, since=span["since"])
        )  # fmt: skip
        findings.append(found("health.errors", hours, part=1, of=100, value=0.01, requests=100))
    findings.append(found("quality.golden", 50, loss=1.1, loss_at_release=1.1, changes=[], losses={"r": [1.0, 1]}))
    change = {
        "what": f"new corrections {HOSTILE}", "rows": [20, 20], "before": 1.0, "after": 1.5, "difference": 0.5,
        "low": 0.3, "high": 0.7, "worse": True,
    }  # fmt: skip
    findings.append(found("quality.golden", 1, True, loss=1.4, loss_at_release=1.1, changes=[change]))
    return findings


class Tags(HTMLParser):
    """Elements of a page, and what loads anything."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [str(value) for key, value in attrs if key in ("src", "href", "onload", "onclick")]


def test_the_standing_is_of_the_version_looked_at_last(home: Home) -> None:
    findings = Findings(Database.open(home.database_url))
    with pytest.raises(StoreError, match="nothing was looked at yet"):
        stand(findings, "story", 30, NOW)
    findings.note(week([]))
    standing = stand(findings, "story", 3, NOW)
    assert standing.version == "story@2"
    assert {rule for rule, one in standing.latest.items() if one.fired} == {
        "drift.length", "drift.all", "drift.alarm", "quality.thumb.adwin", "quality.golden",
    }  # fmt: skip
    assert [one.rule for one in standing.alarms] == ["drift.alarm", "quality.thumb.adwin", "quality.golden"]
    assert len(stand(findings, "story", 30, NOW).alarms) == 4
    listed = standing.to_json()
    assert listed["alarms"] == 3 and "losses" not in str(listed)
    with pytest.raises(StoreError, match="choose from story"):
        stand(findings, "tale", 3, NOW)


def test_the_page_shows_what_changed_and_hostile_text_stays_text(home: Home) -> None:
    at = NOW - timedelta(hours=15)
    write_traffic(home, [
        TrafficRow(
            id=one, at=at + timedelta(minutes=number), name="story", model="story", version="story@2",
            messages=messages, answer=f"answer {HOSTILE[:-1]}",
        )
        for number, (one, messages) in enumerate({
            "b": '[{"role": "user", "content": "second <b>new</b> thing"}]',
            "x": '[{"role": "user", "content": "old"}]',
            "a": '[{"role": "user", "content": "first new thing"}]', "c": "no JSON <script>",
        }.items())
    ])  # fmt: skip
    findings = Findings(Database.open(home.database_url))
    findings.note(week(["a", "b", "c", "gone"]))
    standing = stand(findings, "story", 30, NOW)
    examples = region_examples(home, standing)
    assert [one.prompt for one in examples] == ["first new thing", "second <b>new</b> thing", "no JSON <script>"]
    page = monitor_page(standing, findings.since("story", standing.since), examples)
    seen = Tags()
    seen.feed(page)
    assert seen.tags.count("svg") >= 5
    assert "script" not in seen.tags and "b" not in seen.tags and not [one for one in seen.loads if "#" not in one]
    assert "\x1b" not in page and "\u202e" not in page
    assert page.index("first new thing") < page.index("second &lt;b&gt;new&lt;/b&gt; thing")
    text = re.sub(r"<[^>]+>", " ", page)
    for words in (
        "What is asked: changed",
        "Answers: changed",
        "Health: nothing fired",
        "2 of 6 windows differ",
        "worse",
    ):
        assert words in text, words
    assert "<td>length</td>" in page


def test_without_the_log_the_page_says_so(home: Home) -> None:
    findings = Findings(Database.open(home.database_url))
    findings.note(week(["a"]))
    standing = stand(findings, "story", 30, NOW)
    assert region_examples(home, standing) == []
    page = monitor_page(standing, findings.since("story", standing.since), [])
    assert "The traffic log has them no longer." in page
    calm = [one for one in week([]) if not one.fired]
    findings = Findings(Database.open(f"sqlite:///{home.folder}/calm.db"))
    findings.note(calm)
    page = monitor_page(stand(findings, "story", 30, NOW), calm, [])
    assert "What is asked: nothing fired" in page and "Most unlike" not in page
