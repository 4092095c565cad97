"""What the head says where it has not what a run needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tunesmith.cluster import start

SOURCE = Path(start.__file__)


def test_a_python_too_old_is_told_of() -> None:
    assert "Tunesmith needs 3.11 or newer" in str(start.missing((3, 10, 4)))
    assert "is Python 3.10.4" in str(start.missing((3, 10, 4)))
    assert start.missing((3, 13, 0), ("json",)) is None


def test_what_is_not_installed_is_named() -> None:
    assert "on the head has no nosuchpackage, neitherthis: " in str(
        start.missing(needed=("json", "nosuchpackage", "neitherthis"))
    )


def test_it_says_so_before_anything_of_ours_is_imported(tmp_path: Path) -> None:
    # A bare interpreter that sees this package and none of its requirements.
    root = SOURCE.parents[2]
    done = subprocess.run(
        [sys.executable, "-S", "-m", "tunesmith.cluster.start", "tiny-1", str(tmp_path)],
        env={"PYTHONPATH": str(root)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {sys.executable} on the head has no ray, torch, transformers")
