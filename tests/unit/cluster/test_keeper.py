"""The keeper sends again what was lost, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tunesmith.cluster.keeper import keep

DIED = "JOB_SUPERVISOR_ACTOR_DIED"


@dataclass
class Details:
    """A job as Ray's client gives it."""

    status: str
    attempt: int
    error_type: str | None = None
    id: str = "tiny-1"
    entrypoint: str = "python -m tunesmith.cluster.start tiny-1 s3://bucket"
    runtime_env: dict[str, Any] = field(default_factory=lambda: {"working_dir": "gcs://x.zip"})

    @property
    def metadata(self) -> dict[str, str]:
        return {"tunesmith": self.id, "attempt": str(self.attempt)}


@dataclass
class Client:
    """Ray's client, by a script; an exception is raised."""

    script: list[Any]
    sent: list[dict[str, Any]] = field(default_factory=list)

    def list_jobs(self) -> list[Details]:
        found = self.script.pop(0)
        if isinstance(found, Exception):
            raise found
        return [Details("RUNNING", 9, id="another"), *found]

    def submit_job(self, **what: Any) -> None:
        self.sent.append(what)


def kept(*script: Any) -> tuple[int, list[dict[str, Any]]]:
    client = Client(list(script))
    return keep(client, "tiny-1", sleep=lambda seconds: None), client.sent


@pytest.mark.parametrize(
    "end", [Details("SUCCEEDED", 1), Details("STOPPED", 1), Details("FAILED", 1), Details("FAILED", 1, "OTHER")]
)
def test_what_ended_by_itself_is_left(end: Details) -> None:
    assert kept([Details("RUNNING", 1)], [end]) == (0, [])


def test_what_was_lost_is_sent_again_as_it_was() -> None:
    again, sent = kept([Details("FAILED", 1, DIED)], [Details("FAILED", 1, DIED), Details("SUCCEEDED", 2)])
    assert again == 1
    assert sent == [{
        "entrypoint": "python -m tunesmith.cluster.start tiny-1 s3://bucket", "submission_id": "tiny-1.2",
        "runtime_env": {"working_dir": "gcs://x.zip"}, "metadata": {"tunesmith": "tiny-1", "attempt": "2"},
    }]  # fmt: skip


def test_a_job_that_was_deleted_needs_no_keeper() -> None:
    assert kept([Details("RUNNING", 1)], []) == (0, [])


def test_a_dashboard_that_is_away_is_asked_later() -> None:
    assert kept(ConnectionError("refused"), [Details("FAILED", 1, DIED)], [Details("STOPPED", 2)])[0] == 1


def test_not_for_ever() -> None:
    again, sent = kept(*[[Details("FAILED", number, DIED)] for number in range(1, 9)])
    assert (again, [one["submission_id"] for one in sent]) == (3, ["tiny-1.2", "tiny-1.3", "tiny-1.4"])
