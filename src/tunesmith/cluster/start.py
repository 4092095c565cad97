"""The first that runs on the head: is there what a run needs? Also a Python too old for the rest can say so."""

from __future__ import annotations

import importlib.util
import sys

PYTHON = (3, 11)
NEEDED = ("ray", "torch", "transformers", "peft", "pyarrow", "pydantic", "fsspec")
"""What `pip install "tunesmith[train]"` brings, as far as a run cannot begin without it."""


def missing(version: tuple[int, ...] = sys.version_info[:3], needed: tuple[str, ...] = NEEDED) -> str | None:
    """Why nothing can run here, or None."""
    where = sys.executable
    if version[:2] < PYTHON:
        shown = ".".join(map(str, version))
        return f"{where} is Python {shown}, and Tunesmith needs 3.11 or newer: give the cluster an image that has it"
    absent = [name for name in needed if importlib.util.find_spec(name) is None]
    if absent:
        return (
            f"{where} on the head has no {', '.join(absent)}: give the cluster an image with the training stack "
            "(`pip install 'tunesmith[train]'`), or set `python` of the target to the interpreter that has it"
        )
    return None


def main() -> None:
    """The command: the same arguments as `tunesmith.cluster.job`, or with `retrain` after the second as
    `tunesmith.cluster.retrain_job`."""
    reason = missing()
    if reason is not None:
        print(f"error: {reason}", file=sys.stderr)
        raise SystemExit(2)
    if sys.argv[3:4] == ["retrain"]:
        from tunesmith.cluster.retrain_job import main as run_retrain

        run_retrain(sys.argv[1], sys.argv[2], sys.argv[4:])
        return
    from tunesmith.cluster.job import main as run_job

    run_job()


if __name__ == "__main__":
    main()
