"""One of several processes that use a registry at the same moment; prints what it got as JSON.

Run: python tests/integration/registry_worker.py DATABASE_URL FOLDER WORKER register|same|alias ROUNDS
It waits for the file FOLDER/go, so that all of them begin at once.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from tunesmith.registry.aliases import AliasConflict
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion
from tunesmith.store.home import Home


def main(database_url: str, folder: Path, worker: str, action: str, num_rounds: int) -> None:
    home = Home(folder / "home", database_url, str(folder / "artifacts"))
    artefact = folder / f"artefact-{worker}"
    artefact.mkdir()
    (folder / f"ready-{worker}").touch()
    while not (folder / "go").exists():
        time.sleep(0.005)
    registry = Registry.open(home)
    got: list[int | bool] = []
    for round_ in range(num_rounds):
        if action == "alias":
            got.append(_moves(registry, worker, round_))
        else:
            content = f"{round_}" if action == "same" else f"{worker} {round_}"
            (artefact / "weights.bin").write_text(content)
            new = NewVersion("model", "adapter", "base", "r1", {"worker": worker}, created_by=worker)
            got.append(registry.register(new, artefact).number)
    print(json.dumps(got))


def _moves(registry: Registry, worker: str, round_: int) -> bool:
    """Try to move the alias from the version of this round to the next. Of all workers one may."""
    while round_ > 0 and registry.aliases("model")[0].number < round_:
        time.sleep(0.001)
    try:
        registry.move_alias("model", "champion", round_ + 1, worker, "race", expected=round_ or None)
    except AliasConflict:
        return False
    return True


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]))
