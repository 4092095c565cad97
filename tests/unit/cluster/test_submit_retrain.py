"""A retrain as a job: what is refused from here, what is sent, and that it is one for each name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.cluster import submit_retrain
from tunesmith.cluster.job import RESULT, Result, read_result
from tunesmith.cluster.place import Cluster, Job, JobStatus, Node
from tunesmith.cluster.storage import JOBS, Storage
from tunesmith.cluster.submit_retrain import PreparedRetrain, job_of, prepare_retrain, send
from tunesmith.cluster.targets import Target, TargetError
from tunesmith.recipe.load import load_recipe
from tunesmith.store.home import Home

URL = "postgresql://ann:hunter2@db.example:5432/registry"
LIVE = ("postgresql+psycopg://ann:***@db.example:5432/registry", "tiny@4", "ab" * 32)


class Kept:
    """A place that remembers what it was sent."""

    def __init__(self, *known: JobStatus) -> None:
        self.known, self.sent = list(known), list[tuple[Job, int]]()

    def look(self) -> Cluster:
        return Cluster((Node({"CPU": 4.0}),), grows=False)

    def send(self, job: Job, attempt: int) -> None:
        self.sent.append((job, attempt))

    def jobs(self) -> list[JobStatus]:
        return self.known

    def logs(self, id: str, attempt: int) -> str:
        return ""

    def stop(self, id: str, attempt: int) -> None:
        """Nothing runs."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    (tmp_path / "recipe.yaml").write_text(
        "name: tiny\nmodel: {source: smollm2-135m-instruct}\ndata: {train: rows.jsonl}\n"
    )
    monkeypatch.setattr(submit_retrain, "_live", lambda name, home: LIVE)  # no PostgreSQL in unit tests
    return tmp_path


def prepared(
    project: Path, place: Kept | None = None, artefacts: str = "s3://bucket/registry", wish: str | None = None,
    **target: object,
) -> PreparedRetrain:  # fmt: skip
    target = {"address": "http://127.0.0.1:8265", "storage": str(project / "storage"), **target}
    home = Home(project / "home", URL, artefacts)
    loaded = load_recipe(project / "recipe.yaml")
    return prepare_retrain(loaded, Target.model_validate(target), place or Kept(), home, lambda text: None, True, wish)


def test_the_job_names_where_the_database_is_named_and_never_the_database(project: Path) -> None:
    ready = prepared(project, wish="the product is out", database_env="TEAM_DATABASE")
    told = " ".join([*ready.job.entrypoint, *ready.job.environment, *ready.job.environment.values(), repr(ready)])
    assert "--artefacts s3://bucket/registry --database-env TEAM_DATABASE --knows tiny@4" in told
    assert ready.job.entrypoint[-2:] == ("--watch", "--now=the product is out")
    assert "hunter2" not in told and b"hunter2" not in ready.job.package


def test_a_name_is_one_job_whatever_the_recipe_says_by_now(project: Path) -> None:
    first = prepared(project)
    running = JobStatus(first.job.id, 3, "tiny", "running", digest=first.job.digest)
    same = prepared(project, Kept(running))
    assert (same.job.id, same.attempt, same.running, same.differs) == (first.job.id, 3, running, False)
    with (project / "rows.jsonl").open("a") as rows:
        rows.write('{"prompt": "c", "completion": "d"}\n')
    other = prepared(project, Kept(running))
    assert (other.job.id, other.differs) == (first.job.id, True)
    assert job_of("other", Storage("/somewhere")) != job_of("tiny", Storage("/somewhere"))
    with pytest.raises(TargetError, match="the job runs already, and takes no wish any more"):
        prepared(project, Kept(running), wish="now")


def test_what_the_last_one_came_to_is_gone_before_the_next_is_sent(project: Path) -> None:
    first = prepared(project)
    first.storage.write(
        f"{JOBS}/{first.job.id}/{RESULT}", Result(first.job.id, 1, outcome={"retrain": None}).to_bytes()
    )
    place = Kept(JobStatus(first.job.id, 1, "tiny", "failed"))
    ready = prepared(project, place)
    send(place, ready)
    assert [attempt for _, attempt in place.sent] == [2]
    assert read_result(ready.storage, ready.job.id) is None


@pytest.mark.parametrize(
    ("artefacts", "what"),
    [
        ("/srv/artefacts", "versions and the traffic log lie on this machine"),
        ("file:///srv/artefacts", "versions and the traffic log lie on this machine"),
        ("s3://KEY:hunter2@bucket/registry", "the location of the artefacts holds keys"),
        ("s3://bucket/registry?secret_key=hunter2", "the location of the artefacts holds keys"),
    ],
)
def test_artefacts_that_the_cluster_cannot_have_are_refused(project: Path, artefacts: str, what: str) -> None:
    with pytest.raises(TargetError, match=what) as caught:
        prepared(project, artefacts=artefacts)
    assert caught.value.where == "TUNESMITH_ARTIFACTS" and "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "where"),
    [
        ({"env": {"TUNESMITH_DATABASE_URL": URL}}, "env"),
        ({"env": {"ANOTHER": URL}}, "env"),
        ({"env_from_here": ["TUNESMITH_DATABASE_URL"]}, "env_from_here"),
        ({"env_from_here": ["TEAM"], "database_env": "TEAM"}, "env_from_here"),
    ],
)
def test_a_database_in_the_jobs_environment_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, target: dict[str, object], where: str
) -> None:
    monkeypatch.setenv("TUNESMITH_DATABASE_URL", URL)
    monkeypatch.setenv("TEAM", "sqlite:///of-no-matter")
    with pytest.raises(TargetError, match="which Ray shows to everybody") as caught:
        prepared(project, **target)
    assert caught.value.where == where and "hunter2" not in str(caught.value)


def test_a_registry_that_is_a_file_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    home = Home(project / "home", f"sqlite:///{project}/registry.db", "s3://bucket/registry")
    target = Target(address="http://127.0.0.1:8265", storage=str(project / "storage"))
    with pytest.raises(TargetError, match="the registry is a file of this machine"):
        prepare_retrain(load_recipe(project / "recipe.yaml"), target, Kept(), home, lambda text: None)
