"""What is trained in the chaos: a small model and rows, long enough that a step can be hit."""

from __future__ import annotations

import json
import random
import string
import sys
import threading
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from tests import tiny_models
from tunesmith.errors import TrainError
from tunesmith.train.job import STOP
from tunesmith.train.sinks import read_events

ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "TORCHDYNAMO_DISABLE": "1", "DS_ACCELERATOR": "cpu"}
"""No look for models in the network, and none for compilers: seconds at every start of a worker."""

SHAPE = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 4}
ROWS = 60
UNDISTURBED = "undisturbed"

RECIPE: dict[str, Any] = {
    "name": "chaos",
    "model": {"source": "model", "dtype": "float32"},
    "data": {"train": "rows.jsonl", "audit": {"fail_on": ["malformed"]}, "split": {"validation": 4, "test": 2}},
    "method": {"rank": 4, "alpha": 8.0},
}
TRAIN: dict[str, Any] = {
    "sequence_length": 512,
    "packing": False,
    "batch_size": 4,
    "epochs": 1000,
    "learning_rate": 1e-3,
    "precision": "float32",
}


def write_project(folder: Path, steps: int, checkpoint_every: int, **resources: Any) -> Path:
    """A folder with a model, rows and `recipe.yaml` (JSON is YAML) for so many optimizer steps."""
    tiny_models.save(folder / "model", **SHAPE)
    rng = random.Random(7)
    lines = [_row(f"say {number}", "".join(rng.choices(string.ascii_lowercase, k=300))) for number in range(ROWS)]
    (folder / "rows.jsonl").write_text("".join(lines))
    train = {**TRAIN, "max_steps": steps, "checkpoint_every": checkpoint_every, "eval_every": steps}
    given = {"cpus_per_worker": 1, "gpus_per_worker": 0, **resources}
    (folder / "recipe.yaml").write_text(json.dumps({**RECIPE, "train": train, "resources": given}))
    return folder


def command(*arguments: str) -> list[str]:
    """The command line of `tunesmith train`, to be given in the project's folder."""
    return [sys.executable, "-m", "tunesmith", "train", "recipe.yaml", *arguments]


def undisturbed(project: Path, until: int | None = None) -> dict[int, float]:
    """Loss by step of the same run in this process, without Ray and without trouble, to its end or `until` a step."""
    from rich.console import Console

    from tunesmith.train.run import train

    planned = planned_at(project, project / UNDISTURBED)
    run, ended = planned.job.folder, threading.Event()

    def losses() -> dict[int, float]:
        return {event["step"]: event["train_loss"] for event in read_events(run) if event["event"] == "step"}

    def stop_in_time() -> None:
        while until is not None and not ended.wait(0.1):
            if max(losses(), default=0) >= until:
                (run / STOP).touch()

    stopper = threading.Thread(target=stop_in_time)
    stopper.start()
    try:
        with suppress(TrainError) if until is not None else nullcontext():
            train(planned, Console(quiet=True), in_process=True)
    finally:
        ended.set()
        stopper.join()
    return losses()


def planned_at(project: Path, home: Path) -> Any:
    """The project's run in a home folder, as one process with its checkpoints there would do it."""
    from rich.console import Console

    from tunesmith.recipe.load import load_recipe
    from tunesmith.store.home import Home
    from tunesmith.train.run import plan_run

    loaded = load_recipe(project / "recipe.yaml", ["resources.workers=1", "resources.checkpoints=null"])
    return plan_run(loaded, Home(home, f"sqlite:///{home}/registry.db", str(home)), Console(quiet=True))


def _row(question: str, answer: str) -> str:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": turns}) + "\n"
