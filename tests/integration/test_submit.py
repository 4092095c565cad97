"""`tunesmith submit` on a real cluster that asks for a token, its results by way of S3."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.integration.hosts import wait_until, why_not
from tests.integration.lab import BUCKET, Lab


@pytest.fixture(autouse=True)
def hosts_can_be() -> None:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)  # also in CI: whether namespaces may be made is the container's to say


def adapter(home: Path) -> Path:
    """The one version's weights in a home."""
    [found] = (home / "artifacts").glob("*/files/adapter_model.safetensors")
    return found


def undisturbed(lab: Lab) -> Path:
    """The weights of the same recipe, trained on the laptop itself by one process."""
    recipe = (lab.project / "recipe.yaml").read_text().replace(f"s3://{BUCKET}/models/base", str(lab.root / "base"))
    (lab.project / "own.yaml").write_text(recipe)
    home = lab.root / "own"
    command = [sys.executable, "-m", "tunesmith", "train", "own.yaml", "--in-process", "--yes"]
    done = subprocess.run(
        [*command, "--set", "resources.workers=1"], cwd=lab.project, capture_output=True, text=True, timeout=300,
        env={**os.environ, "TUNESMITH_HOME": str(home), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return next((home / "runs").glob("*/adapter/adapter_model.safetensors"))


def furthest_apart(one: Path, other: Path) -> float:
    mine, theirs = load_file(one), load_file(other)
    assert mine.keys() == theirs.keys()
    return max(float((mine[name] - theirs[name]).abs().max()) for name in mine)


@pytest.mark.slow
def test_a_recipe_is_run_there_and_its_version_comes_back(tmp_path: Path) -> None:
    with Lab(tmp_path, 1) as lab:
        code, out, err = lab.done("submit", "recipe.yaml", "--json")
        assert code == 0, err
        sent = json.loads(out)
        assert (sent["version"]["reference"], sent["version"]["verdict"]) == ("tiny@1", "passed")
        assert "step 60: validation loss" in err  # as it went on there
        home = lab.root / "laptop"
        assert "<html" in Path(sent["report"]).read_text()

        # Again it is the same job: nothing runs, and it is the same version.
        code, out, err = lab.done("submit", "recipe.yaml", "--json")
        assert (code, json.loads(out)["state"]) == (0, "finished"), err
        assert json.loads(out)["version"]["number"] == 1
        code, out, _ = lab.done("jobs", "ls", "--json")
        [job] = json.loads(out)
        assert (job["id"], job["attempt"], job["state"], job["exit_code"]) == (sent["job"], 1, "succeeded", 0)

        # What the cluster cannot do is refused before anything is sent.
        code, _, err = lab.done("submit", "recipe.yaml", "--set", "resources.workers=9")
        assert code == 2 and "9 worker(s) of 1 CPU are asked for, and there is room for 2" in err
        code, _, err = lab.done("submit", "recipe.yaml", "--storage", "s3://no-such-bucket/x")
        assert code == 2 and "s3://no-such-bucket/x: the storage cannot be used" in err
        (lab.root / "token").write_text("another")
        code, _, err = lab.done("submit", "recipe.yaml")
        assert code == 2 and "refuses the token" in err
        # Another laptop needs the storage only.
        code, out, err = lab.done("jobs", "fetch", sent["job"], "--json", home="other")
        assert code == 0, err
        assert furthest_apart(adapter(lab.root / "other"), adapter(home)) == 0


@pytest.fixture(scope="module")
def slim_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with what a laptop needs to drive clusters: neither torch nor ray."""
    root = Path(__file__).parents[2]
    python = tmp_path_factory.mktemp("slim") / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(root / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, source)
    install = [python, "-m", "pip", "install", "-qq", "--no-input", "-c", root / "constraints" / "cpu.txt"]
    done = subprocess.run([*install, f"{source}[cluster]"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the slim install needs a package index: {done.stderr[-300:]}")
    look = "import importlib.util as i; assert not (i.find_spec('torch') or i.find_spec('ray'))"
    subprocess.run([python, "-c", look], check=True)
    return python


@pytest.mark.cluster
@pytest.mark.slow
def test_from_a_slim_install_through_a_cut_link_and_a_lost_supervisor(tmp_path: Path, slim_python: Path) -> None:
    """A head without CPUs, two workers. One worker's link is cut, and it comes back as a new node; the job's supervisor
    is killed. The job goes on by itself, and its weights are those of a run that nothing happened to."""
    with Lab(tmp_path, 3, head_cpus=0, steps=400, workers=2) as lab:
        job = lab.tunesmith("submit", "recipe.yaml", "--json", python=str(slim_python))
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.extend(job.stderr or ()), daemon=True)
        reader.start()

        def at(step: int) -> None:
            def reached() -> bool:
                assert job.poll() is None, "".join(said)
                steps = [int(found[1]) for line in said if (found := re.search(r"step (\d+) of 400", line))]
                return max(steps, default=0) >= step

            wait_until(reached, 240, f"step {step}")

        at(20)
        lab.cut(3)
        time.sleep(10)  # the head gives the silent node up
        lab.mend(3)
        lab.rejoin(3)
        wait_until(lambda: any("going on after step" in one for one in said), 240, "a restart")
        at(120)
        lab.kill_process(1, "ray::JobSupervisor")
        out = job.communicate(timeout=400)[0]
        reader.join(10)
        assert job.returncode == 0, "".join(said)
        assert any("the job's supervisor was lost" in one for one in said)
        sent = json.loads(out)
        assert sent["version"]["verdict"] == "passed"
        listed = json.loads(lab.done("jobs", "ls", "--json")[1])
        assert [one["state"] for one in listed] == ["lost", "succeeded"]
    apart = furthest_apart(adapter(lab.root / "laptop"), undisturbed(lab))
    print(f"furthest apart: {apart:.2g}")
    assert apart < 1e-4
