"""The front of loss against dollars, its knee, and the page that shows it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

from tunesmith.sweep.front import front_of, knee_of
from tunesmith.sweep.page import write_page
from tunesmith.sweep.record import Report, Trial


def trial(name: str, usd: str, loss: float | None, status: str = "whole") -> Trial:
    reports = [] if loss is None else [Report(1, loss + 1, Decimal(usd) / 2, 0.5), Report(2, loss, Decimal(usd), 1.0)]
    made = Trial(name, {"train.learning_rate": 1e-3}, "run", Decimal(1), reports, Decimal(usd))
    made.status = status  # type: ignore[assignment]
    return made


TRIALS = [
    trial("cheap", "1", 3.0),
    trial("knee", "2", 2.1),
    trial("beaten", "3", 2.5),
    trial("best", "9", 2.0),
    trial("broken", "0.5", None, "broken"),
]


def test_the_front_leaves_out_what_another_is_better_than_for_less() -> None:
    front = front_of(TRIALS)
    assert [one.name for one in front] == ["cheap", "knee", "best"]
    knee = knee_of(front)
    assert knee is not None and knee.name == "knee"


def test_no_knee_where_the_front_does_not_bend() -> None:
    assert knee_of(front_of(TRIALS[:2])) is None
    assert knee_of([trial("a", "1", 3.0), trial("b", "3", 2.9), trial("c", "4", 2.0)]) is None


def test_the_page_shows_every_trial_and_marks_the_knee(tmp_path: Path) -> None:
    trials = [*TRIALS, trial("<script>", "4", 2.4)]
    path = write_page(tmp_path, "intents", trials, TRIALS[3], Decimal("19.5"), Decimal(20))
    text = path.read_text(encoding="utf-8")
    assert "<script>" not in text
    for one in TRIALS:
        assert one.name in text
    assert "Ringed: knee" in text
    svg = ElementTree.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])
    circles = [node for node in svg if node.tag.endswith("circle")]
    assert len(circles) == 6  # five points and a ring
