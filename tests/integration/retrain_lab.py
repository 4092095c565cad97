"""A cluster with a registry that it shares with the laptop: PostgreSQL on the head's host, artefacts in S3.

Ray's nodes have the database's URL in the environment they are started with; the laptop has it in its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.integration import postgres
from tests.integration import retrain_project as project
from tests.integration.lab import BUCKET, Lab

RESOURCES = "resources: {workers: 1, cpus_per_worker: 1, gpus_per_worker: 0, wait_minutes: 5}\n"

SAID = """
from tests.integration import retrain_project as project
from tunesmith.store.home import find_home
project.people_said(None, dict.fromkeys(project.questions("ask", 70), "no"), home=find_home())
"""

VISITS = """
import time
from tests.integration import retrain_project as project
from tunesmith.store.home import find_home
visitors = project.Visitors(None, home=find_home())
while True:
    visitors.come()
    time.sleep(0.1)
"""


class RetrainLab(Lab):
    """The laptop, the services and the cluster's one node on one host."""

    def __init__(self, folder: Path, database: Path, steps: int) -> None:
        super().__init__(folder, 1, head_cpus=1)
        self.database, self.url = database, postgres.Server(5432).url("postgres")
        recipe = project.RECIPE.replace("source: model", f'source: "s3://{BUCKET}/models/base"') + RESOURCES
        changes = {
            "max_steps: 200": f"max_steps: {steps}",
            "checkpoint_every: 40": "checkpoint_every: 10",
        }
        for old, new in changes.items():
            recipe = recipe.replace(old, new)
        (self.project / "recipe.yaml").write_text(recipe)
        lines = [
            {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "yes"}]}
            for text in project.questions("say", 70)
        ]
        (self.project / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def join(self, number: int) -> None:
        """The node of a host; the database is there before the head's."""
        if number == 1:
            postgres.on_host(self, 1, self.database)
        super().join(number)

    def nodes(self) -> dict[str, str]:
        """What a Secret would be on Kubernetes."""
        return {**super().nodes(), "TUNESMITH_DATABASE_URL": self.url}

    def laptop(self, home: str = "laptop") -> dict[str, str]:
        """The same registry."""
        shared = {"TUNESMITH_DATABASE_URL": self.url, "TUNESMITH_ARTIFACTS": f"s3://{BUCKET}/registry"}
        return {**super().laptop(home), **shared, "OMP_NUM_THREADS": "1"}

    def answered(self, *arguments: str, code: int = 0) -> Any:
        """What a command prints as JSON."""
        found, out, err = self.done(*arguments, "--json")
        assert found == code, err
        return json.loads(out)

    def log(self, job: str, attempt: int) -> str:
        """What an attempt has written so far, from the head's disk: a look that costs nothing."""
        logs = (self.root / "hosts").rglob(f"job-driver-{job}.{attempt}.log")
        return "".join(path.read_text(errors="replace") for path in logs)

    def ended(self, job: str, attempt: int) -> str:
        """The state of an attempt when it is over."""
        for _ in range(60):
            found = next(one for one in self.answered("jobs", "ls") if (one["id"], one["attempt"]) == (job, attempt))
            if found["state"] not in ("waiting", "running"):
                return str(found["state"])
            time.sleep(3)
        raise AssertionError(self.log(job, attempt))

    def people_said(self) -> None:
        """Corrections of seventy answers, in the database and the traffic log."""
        self.run(1, [sys.executable, "-c", SAID], env=self._with_tests(), cwd=Path(__file__).parents[2])

    def visitors(self) -> subprocess.Popen[str]:
        """Users who like the challenger better, until they are killed or the lab ends."""
        return self.popen(1, [sys.executable, "-c", VISITS], Path(__file__).parents[2], env=self._with_tests())

    def _with_tests(self) -> dict[str, str]:
        root = str(Path(__file__).parents[2])
        return {**self.laptop(), "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
