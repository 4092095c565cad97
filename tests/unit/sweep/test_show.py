"""A sweep on a terminal and in a log."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from tests.unit.sweep.simulated import Costs, play, section
from tunesmith.sweep.show import Show


def test_a_log_has_a_line_for_each_report_and_a_terminal_a_table(tmp_path: Path) -> None:
    space = {"train.learning_rate": {"choice": [1e-4, 3e-4]}}
    sweep = play(section(60, "grid", "none", 0, space=space), tmp_path, 0, Costs())
    first = next(iter(sweep.record.trials.values()))
    report = {"loss": 2.5, "share": 0.5, "load_seconds": 0.3}

    log = io.StringIO()
    with Show(sweep, Console(file=log, width=200)) as show:
        show.told(first, report)
        show.told(first, {"status": "whole"})
    lines = log.getvalue().splitlines()
    assert lines[0].startswith("trial-001: loss 2.5000 at 50% | $50.00 of $60.00 spent, 0 minutes left at most")
    assert lines[1].startswith("trial-001: trained to its end, $25.00 | ")

    terminal = io.StringIO()
    with Show(sweep, Console(file=terminal, width=200, force_terminal=True)) as show:
        show.told(first, report)
        show.summary()
    text = terminal.getvalue()
    assert "left at most" in text and text.count("trial-002") >= 2
    assert "train.learning_rate=0.0003" in text and "100%" in text
