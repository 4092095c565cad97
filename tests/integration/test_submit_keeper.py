"""A job whose supervisor dies while no laptop follows it: the cluster itself sends it again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.integration.hosts import wait_until, why_not
from tests.integration.lab import Lab


@pytest.mark.cluster
@pytest.mark.slow
def test_a_detached_job_outlives_its_supervisor(tmp_path: Path) -> None:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with Lab(tmp_path, 1, steps=300) as lab:
        code, out, err = lab.done("submit", "recipe.yaml", "--set", "train.eval_every=20", "--detach", "--json")
        assert code == 0, err
        job = json.loads(out)["job"]

        def trained(step: int) -> bool:
            written = lab.done("jobs", "logs", job)[1]
            return any(int(one) >= step for one in re.findall(r"step (\d+)", written))

        wait_until(lambda: trained(20), 240, "step 20")
        lab.kill_process(1, "ray::JobSupervisor")  # nobody looks
        code, out, err = lab.done("jobs", "logs", job, "--follow")
        assert code == 0, err
        assert "going on after step" in out
        listed = json.loads(lab.done("jobs", "ls", "--json")[1])
        assert [(one["attempt"], one["state"]) for one in listed] == [(1, "lost"), (2, "succeeded")]
        code, out, err = lab.done("jobs", "fetch", job, "--json")
        assert (code, json.loads(out)["version"]["verdict"]) == (0, "passed"), err
        wait_until(lambda: not lab.processes(1, "ray::Keeper"), 30, "the end of the keeper")
