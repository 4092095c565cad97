"""Somebody else's cluster, as a laptop sees it: hosts in namespaces, Ray with a token, S3 on the first of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests import tiny_models
from tests.integration.hosts import Hosts, address, wait_until
from tests.integration.ray_hosts import SETTINGS, TRIES

BUCKET, S3_PORT, RAY_PORT = "tunesmith-lab", 5005, 6379
TOKEN = "a-token-that-only-the-lab-has-0123456789"

RECIPE = """\
name: tiny
model: {{source: "s3://{bucket}/models/base", dtype: float32}}
data:
  train: rows.jsonl
  audit: {{fail_on: [malformed]}}
  split: {{validation: 6, test: 12}}
method: {{rank: 8, alpha: 16}}
train:
  sequence_length: 64
  packing: false
  batch_size: 4
  max_steps: {steps}
  epochs: 1000
  learning_rate: 2.0e-2
  checkpoint_every: 5
  eval_every: {steps}
evaluate:
  metrics: [exact_match, perplexity]
  prompts: {{few_shot: [1]}}
  decoding: {{max_new_tokens: 12}}
  gate: {{metric: exact_match}}
  resamples: 500
resources: {{workers: {workers}, cpus_per_worker: 1, gpus_per_worker: 0, max_failures: 5, wait_minutes: 5}}
"""

COPY = """
import sys, urllib.request
from pathlib import Path
from pyarrow.fs import S3FileSystem
bucket, folder = sys.argv[1:]
urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:5005/{bucket}", method="PUT"))
store = S3FileSystem(endpoint_override="http://127.0.0.1:5005")
for path in Path(folder).iterdir():
    with store.open_output_stream(f"{bucket}/models/base/{path.name}") as file:
        file.write(path.read_bytes())
"""


class Lab(Hosts):
    """A cluster of so many hosts, with a laptop's project beside it, whose commands are run on the first host."""

    def __init__(self, folder: Path, count: int, head_cpus: int = 2, steps: int = 60, workers: int = 1) -> None:
        super().__init__(folder / "hosts", count)
        self.root, self.head_cpus = folder, head_cpus
        self.project = folder / "project"
        self.project.mkdir(parents=True)
        tiny_models.save(folder / "base")
        rows = [
            {"messages": [{"role": "user", "content": f"say {n}"}, {"role": "assistant", "content": "yes"}]}
            for n in range(60)
        ]
        (self.project / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (self.project / "recipe.yaml").write_text(RECIPE.format(bucket=BUCKET, steps=steps, workers=workers))
        (folder / "token").write_text(TOKEN)
        self.aws = {
            "AWS_ENDPOINT_URL": f"http://{address(1)}:{S3_PORT}", "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip
        (folder / "targets.yaml").write_text(
            json.dumps({"targets": {"lab": {
                "address": f"http://{address(1)}:8265", "storage": f"s3://{BUCKET}/tunesmith",
                "token_file": str(folder / "token"), "python": sys.executable, "env_from_here": list(self.aws),
                "env": {"TUNESMITH_JOBS": str(folder / "jobs"), "HF_HUB_OFFLINE": "1"},
            }}})
        )  # fmt: skip

    def __enter__(self) -> Lab:
        super().__enter__()
        try:
            log = (self.root / "s3.log").open("wb")
            self.s3 = self.popen(
                1, [sys.executable, "-m", "moto.server", "-H", "0.0.0.0", "-p", str(S3_PORT)], self.root,
                stdout=log, stderr=log, env={**os.environ, **self.aws},
            )  # fmt: skip
            self.join(1)
            wait_until(lambda: self._copied(), 60, "the S3 server")
            for number in range(2, self.count + 1):
                self.join(number)
        except BaseException:
            self.down()
            raise
        return self

    def join(self, number: int) -> None:
        """Start the Ray node of a host: on the first one the head, with its dashboard."""
        own = ["start", f"--node-ip-address={address(number)}", "--object-store-memory=80000000"]
        rest = (
            ["--head", f"--port={RAY_PORT}", f"--dashboard-host={address(1)}", f"--num-cpus={self.head_cpus}"]
            if number == 1
            else [f"--address={address(1)}:{RAY_PORT}", "--num-cpus=1"]
        )
        command = [str(Path(sys.executable).with_name("ray")), *own, *rest, "--disable-usage-stats"]
        for last in range(TRIES):
            try:
                self.run(number, command, env=self.nodes())
                return
            except AssertionError:
                if last == TRIES - 1:
                    raise
                for process in self.processes(number, "/ray/"):  # what has started would be in the next one's way
                    with suppress(psutil.Error):
                        process.kill()
                time.sleep(5)

    def rejoin(self, number: int) -> None:
        """Bring a host whose node was given up back into the cluster, as another node."""
        for process in self.processes(number):
            with suppress(psutil.Error):
                process.kill()
        self.join(number)

    def kill_process(self, number: int, named: str) -> None:
        """Kill the newest process of a host whose command line holds `named`, without notice."""
        found = wait_until(lambda: self.processes(number, named), 60, f"{named} on host {number}")
        max(found, key=lambda process: process.create_time()).kill()

    def nodes(self) -> dict[str, str]:
        """Environment of the nodes: they ask for the token."""
        own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.root / "token")}
        return {**os.environ, **SETTINGS, **own, "TUNESMITH_JOBS": str(self.root / "jobs")}

    def laptop(self, home: str = "laptop") -> dict[str, str]:
        """Environment of the laptop: it knows where the lab is, and nothing of Ray."""
        own = {"TUNESMITH_TARGETS": str(self.root / "targets.yaml"), "TUNESMITH_HOME": str(self.root / home)}
        return {**os.environ, **self.aws, **own, "HF_HUB_OFFLINE": "1"}

    def tunesmith(self, *arguments: str, python: str = sys.executable, home: str = "laptop") -> subprocess.Popen[str]:
        """A command of the laptop's, under way."""
        return self.popen(
            1, [python, "-m", "tunesmith", *arguments], self.project, env=self.laptop(home), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def done(self, *arguments: str, **options: Any) -> tuple[int, str, str]:
        """A command of the laptop's, done: exit code, output, and what it said."""
        process = self.tunesmith(*arguments, **options)
        out, err = process.communicate(timeout=400)
        return process.returncode, out, err

    def _copied(self) -> bool:
        try:
            self.run(1, [sys.executable, "-c", COPY, BUCKET, str(self.root / "base")], env={**os.environ, **self.aws})
            return True
        except AssertionError:
            return False
