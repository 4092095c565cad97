"""`tunesmith submit --retrain` on a real cluster: stopped in its training, its head's disk lost, gone on with, and
promoted; against a PostgreSQL whose password Ray never sees."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.hosts import wait_until, why_not
from tests.integration.lab import BUCKET, TOKEN
from tests.integration.postgres import PASSWORD
from tests.integration.retrain_lab import RetrainLab

SHOWN = """
import sys, urllib.request
from pyarrow.fs import FileSelector, S3FileSystem
request = urllib.request.Request("http://10.77.0.1:8265/api/jobs/", headers={"authorization": "Bearer " + sys.argv[1]})
print(urllib.request.urlopen(request).read().decode())
store = S3FileSystem(endpoint_override="http://127.0.0.1:5005")
for one in store.get_file_info(FileSelector(sys.argv[2], recursive=True)):
    if one.is_file and one.size < 1_000_000:
        print(one.path, store.open_input_file(one.path).read().decode(errors="replace"))
"""


@pytest.fixture
def database_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tunesmith-postgres-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.cluster
@pytest.mark.slow
def test_a_retrain_is_a_job_that_outlives_its_head(tmp_path: Path, database_folder: Path) -> None:
    if (reason := why_not()) is not None:
        pytest.skip(reason)  # also in CI: whether namespaces may be made is the container's to say
    with RetrainLab(tmp_path, database_folder, steps=400) as lab:
        champion = lab.answered("run", "recipe.yaml", "--in-process", "--yes")
        assert champion["verdict"] == "passed"
        lab.people_said()
        job = lab.answered("submit", "recipe.yaml", "--retrain", "--detach")["job"]
        again = lab.answered("submit", "recipe.yaml", "--retrain", "--dry-run")
        assert again["job"] == job and again["state"] in ("waiting", "running")
        wait_until(lambda: "step " in lab.log(job, 1), 400, "training")
        assert lab.done("jobs", "stop", job)[0] == 0
        assert lab.ended(job, 1) == "stopped" and "stopped before its end" in lab.log(job, 1)
        assert lab.answered("retrain", "show", "tiny")["next"] == "train"

        # Another head: nothing of the first one's disk is there.
        shutil.rmtree(lab.root / "jobs" / job)
        code, out, err = lab.done("submit", "recipe.yaml", "--retrain")
        assert code == 0, err
        assert "going on after step" in err and out == "tiny retrain 1: in flight, at release\n"
        shown = lab.answered("retrain", "show", "tiny")
        assert [one["step"] for one in shown["steps"]].count("train") == 1
        assert (shown["version"], shown["stage"]) == ("tiny@2", "shadow")

        visitors = lab.visitors()
        lab.answered("submit", "recipe.yaml", "--retrain", "--watch", "--detach")
        wait_until(lambda: "tiny retrain 1: promoted: " in lab.log(job, 3), 400, "the promotion")
        visitors.kill()
        assert lab.answered("retrain", "show", "tiny")["end"] == "promoted"
        assert lab.done("jobs", "stop", job)[0] == 0
        assert lab.ended(job, 3) == "stopped"

        # No reason for another; and what is not a run's job is not fetched.
        code, out, err = lab.done("submit", "recipe.yaml", "--retrain")
        assert code == 0 and out.startswith("no retrain: ") and out.strip() in lab.log(job, 4), err
        code, _, err = lab.done("jobs", "fetch", job)
        assert code == 2 and "this is the job of a retrain" in err

        text = lab.run(1, [sys.executable, "-c", SHOWN, TOKEN, BUCKET], env={**os.environ, **lab.aws})
        text += "".join(
            path.read_text(errors="replace") for path in (tmp_path / "hosts").rglob("logs/*") if path.is_file()
        )
        assert job in text and "tiny retrain 1" in text
        assert PASSWORD not in text and "s3cret%2Fp%40ss" not in text
