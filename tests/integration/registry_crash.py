"""Registers a version again and again, each time killed one step later; prints what was found afterwards as JSON.

Run: python tests/integration/registry_crash.py DATABASE_URL FOLDER STRIDE

A step is a line of Tunesmith's store and registry code. The child is stopped by SIGKILL from a trace function: the
code under test has no hooks. It runs in a process of its own because forking needs one without threads.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import tunesmith
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion
from tunesmith.store.home import Home

PACKAGE = str(Path(tunesmith.__file__).parent)


def new_version(name: str) -> NewVersion:
    return NewVersion(
        name=name, kind="adapter", base_model="base", recipe_hash="r1", recipe={"name": name}, created_by="test"
    )


def kill_at(step: int) -> None:
    """Count lines of our code as they are about to run; at the given one the process is gone."""
    num_steps = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal num_steps
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            num_steps += 1
            if num_steps == step:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def main(database_url: str, folder: Path, stride: int) -> None:
    artefact = folder / "artefact"
    home = Home(folder / "home", database_url, str(folder / "artifacts"))
    Registry.open(home).close()
    found: dict[str, Any] = {"killed": 0, "half": [], "retry_failed": []}
    step = 1
    while True:
        name = f"model-{step}"
        # New bytes every time: else the files of the step before would already be there.
        (artefact / "weights.bin").write_bytes(os.urandom(64))
        child = os.fork()
        if child == 0:
            kill_at(step)
            registry = Registry.open(home)
            registry.register(new_version(name), artefact)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        registry = Registry.open(home)
        there = [version for version in registry.versions() if version.name == name]
        for version in there:
            # A version that is visible has all its files.
            if sorted(path.name for path in registry.fetch(version).iterdir()) != ["config.json", "weights.bin"]:
                found["half"].append(step)
        again = registry.register(new_version(name), artefact)
        same_files = (registry.fetch(again) / "weights.bin").read_bytes() == (artefact / "weights.bin").read_bytes()
        if again.number != 1 or not same_files or len(registry.versions(name)) != 1:
            found["retry_failed"].append(step)
        registry.close()
        if not os.WIFSIGNALED(status):
            found["steps"] = step
            found["last_exit"] = os.waitstatus_to_exitcode(status)
            break
        found["killed"] += 1
        step += stride
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
