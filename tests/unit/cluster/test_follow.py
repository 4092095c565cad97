"""Following a job through lost links and lost supervisors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tunesmith.cluster import follow as following
from tunesmith.cluster.follow import follow
from tunesmith.cluster.place import Cluster, Job, JobStatus, State
from tunesmith.cluster.ray_place import Unreachable
from tunesmith.cluster.targets import TargetError

JOB = Job("tiny-1", "tiny", b"", "s3://bucket", ("python",))
Said = tuple[State, str] | None


@dataclass
class Scripted:
    """A place that says one thing after the other; None is no answer."""

    script: Iterator[Said]
    sent: list[int] = field(default_factory=lambda: [1])
    now: Said = None

    def look(self) -> Cluster:
        raise AssertionError

    def jobs(self) -> list[JobStatus]:
        self.now = next(self.script)
        if self.now is None:
            raise Unreachable("the cluster does not answer: refused")
        return [JobStatus("tiny-1", self.sent[-1], "tiny", self.now[0], "the node died")]

    def logs(self, id: str, attempt: int) -> str:
        assert self.now is not None
        return self.now[1]

    def send(self, job: Job, attempt: int) -> None:
        self.sent.append(attempt)

    def stop(self, id: str, attempt: int) -> None:
        raise AssertionError


@dataclass
class Kept(Scripted):
    """A place whose keeper sends the lost job again after two looks."""

    comes_after: int = 2
    looks: int = 0

    def jobs(self) -> list[JobStatus]:
        self.looks += 1
        if self.looks <= self.comes_after:
            return super().jobs()
        first = JobStatus("tiny-1", 1, "tiny", "lost")
        self.now = next(self.script)
        assert self.now is not None
        return [first, JobStatus("tiny-1", 2, "tiny", self.now[0])]


def followed(*script: Said) -> tuple[JobStatus, str, list[str], list[int]]:
    place, shown, said = Scripted(iter(script)), [], []  # type: ignore[var-annotated]
    status = follow(place, JOB.id, 1, shown.append, said.append, JOB, sleep=lambda seconds: None)
    return status, "".join(shown), said, place.sent


def test_the_log_is_shown_as_it_grows() -> None:
    status, shown, said, _ = followed(("waiting", ""), ("running", "one\n"), ("succeeded", "one\ntwo\n"))
    assert (status.state, shown, said) == ("succeeded", "one\ntwo\n", [])


def test_a_lost_link_loses_nothing() -> None:
    status, shown, said, sent = followed(
        ("running", "one\n"), None, None, ("running", "one\ntwo\n"), ("failed", "one\ntwo\n")
    )
    assert (status.state, shown, sent) == ("failed", "one\ntwo\n", [1])
    assert said == ["the cluster does not answer: refused; the job goes on without us, trying again", "connected again"]


def test_a_lost_job_is_sent_again() -> None:
    status, shown, said, sent = followed(("lost", "one\n"), ("running", "resumed\n"), ("succeeded", "resumed\n"))
    assert (status.state, shown, sent) == ("succeeded", "one\nresumed\n", [1, 2])
    assert said == ["the job's supervisor was lost (the node died): sent again, it goes on from its last checkpoint"]


def test_not_for_ever() -> None:
    status, _, _, sent = followed(*[("lost", "")] * 9)  # type: ignore[list-item]
    assert (status.state, sent) == ("lost", [1, 2, 3, 4])


def test_a_cluster_that_forgot_the_job_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Scripted(iter([("running", "")]), sent=[7])
    with pytest.raises(TargetError, match="knows nothing of tiny-1"):
        follow(place, JOB.id, 1, lambda text: None, lambda text: None, JOB, sleep=lambda seconds: None)
    monkeypatch.setattr(following, "GIVE_UP_SECONDS", -1.0)
    with pytest.raises(Unreachable):
        followed(None, None)


def test_without_the_job_at_hand_the_keeper_is_waited_for() -> None:
    place = Kept(iter([("lost", "one\n"), ("lost", "one\n"), ("running", "one\n"), ("succeeded", "resumed\n")]))
    shown: list[str] = []
    status = follow(place, "tiny-1", 1, shown.append, lambda text: None, sleep=lambda seconds: None)
    assert (status.attempt, status.state, "".join(shown), place.sent) == (2, "succeeded", "one\nresumed\n", [1])
    place = Kept(iter([("lost", "one\n")] * 99))
    place.comes_after = 99
    assert follow(place, "tiny-1", 1, shown.append, lambda text: None, sleep=lambda seconds: None).state == "lost"
