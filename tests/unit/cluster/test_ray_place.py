"""What a cluster may answer besides what it should: each gets a sentence."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.unit.serve.ports import free_port
from tunesmith.cluster.place import Job
from tunesmith.cluster.ray_place import RayPlace, Unreachable, pinned_ray, submission
from tunesmith.cluster.targets import Target, TargetError

JOB = Job("tiny-1", "tiny", b"zip", "s3://bucket", ("python", "-m", "x", "a b"))


class Double(BaseHTTPRequestHandler):
    """Answers by path; keeps what was asked."""

    answers: dict[str, tuple[int, Any]]
    asked: list[tuple[str, str, bytes, str]]

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.asked.append((self.command, self.path, body, self.headers.get("authorization", "")))
        status, value = self.answers.get(self.path.partition("?")[0], (404, "nothing here"))
        content = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = _answer

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def cluster() -> Iterator[tuple[type[Double], str]]:
    kind = type("Own", (Double,), {"answers": {}, "asked": []})
    server = HTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield kind, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def place(address: str, monkeypatch: pytest.MonkeyPatch, token: str = "") -> RayPlace:
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    return RayPlace(Target(address=address))


NODE = {"state": "ALIVE", "resources_total": {"CPU": 2.0}, "labels": {"a": "b"}}


def test_nodes_are_those_that_live(cluster: tuple[type[Double], str], monkeypatch: pytest.MonkeyPatch) -> None:
    double, address = cluster
    nodes = {"data": {"result": {"result": [NODE, {**NODE, "state": "DEAD"}]}}}
    double.answers |= {"/api/version": (200, {"ray_version": pinned_ray()}), "/api/v0/nodes": (200, nodes)}
    found = place(address, monkeypatch, "t0ken").look()
    assert ([node.resources for node in found.nodes], found.grows) == ([{"CPU": 2.0}], False)
    assert {asked[3] for asked in double.asked} == {"Bearer t0ken"}


@pytest.mark.parametrize(
    ("kinds", "told", "grows"),
    [
        ({"ray.head.default": 1}, None, True),
        ({"node_" + "0a" * 28: 1}, None, False),
        ({"node" + "0A" * 28: 1}, None, False),
        ({}, True, True),
        ({"ray.head.default": 1}, False, False),
    ],
)
def test_a_cluster_grows_where_nodes_have_kinds(
    cluster: tuple[type[Double], str], monkeypatch: pytest.MonkeyPatch,
    kinds: dict[str, int], told: bool | None, grows: bool,
) -> None:  # fmt: skip
    double, address = cluster
    double.answers |= {
        "/api/version": (200, {"ray_version": pinned_ray()}),
        "/api/v0/nodes": (200, {"data": {"result": {"result": [NODE]}}}),
        "/api/cluster_status": (200, {"data": {"clusterStatus": {"autoscalerReport": {"activeNodes": kinds}}}}),
    }
    monkeypatch.setenv("RAY_AUTH_TOKEN", "")
    assert RayPlace(Target(address=address, grows=told)).look().grows is grows


def test_another_ray_is_refused(cluster: tuple[type[Double], str], monkeypatch: pytest.MonkeyPatch) -> None:
    double, address = cluster
    double.answers["/api/version"] = (200, {"ray_version": "2.9.0"})
    with pytest.raises(TargetError, match=r"the cluster runs Ray 2\.9\.0, and this Tunesmith is made for 2\.\d+"):
        place(address, monkeypatch).look()


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_token_is_told_of(
    cluster: tuple[type[Double], str], monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    double, address = cluster
    double.answers["/api/jobs/"] = (status, "no")
    with pytest.raises(TargetError, match="refuses the token, or there is none") as caught:
        place(address, monkeypatch, "s3cret").jobs()
    assert "s3cret" not in str(caught.value)


def test_no_answer_is_something_that_may_pass(
    cluster: tuple[type[Double], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    double, address = cluster
    with pytest.raises(Unreachable, match="the cluster does not answer"):
        place(f"http://127.0.0.1:{free_port()}", monkeypatch).jobs()
    double.answers["/api/jobs/"] = (503, "later")
    with pytest.raises(Unreachable, match="was answered with 503: later"):
        place(address, monkeypatch).jobs()


@pytest.mark.parametrize("answer", [(200, "<html>sign in</html>"), (302, ""), (200, {"a": 1}), (200, [1])])
def test_what_is_no_dashboard_is_told_of(
    cluster: tuple[type[Double], str], monkeypatch: pytest.MonkeyPatch, answer: tuple[int, Any]
) -> None:
    double, address = cluster
    double.answers |= {"/api/jobs/": answer, "/api/version": answer}
    for asked in (place(address, monkeypatch).jobs, place(address, monkeypatch).look):
        with pytest.raises(TargetError, match=r"no dashboard of Ray|was answered with 302"):
            asked()


def test_a_proxy_of_the_environment_does_not_see_what_goes_to_this_machine(
    cluster: tuple[type[Double], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    double, address = cluster
    double.answers["/api/jobs/"] = (200, [])
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    assert place(address, monkeypatch, "t0ken").jobs() == []
    monkeypatch.setenv("ALL_PROXY", "foo://x")
    with pytest.raises(TargetError, match="no connection can be made"):
        place("http://head.example:8265", monkeypatch)


def test_a_package_is_uploaded_once(cluster: tuple[type[Double], str], monkeypatch: pytest.MonkeyPatch) -> None:
    double, address = cluster
    double.answers["/api/jobs/"] = (200, {"submission_id": "x"})
    monkeypatch.setattr(double, "do_PUT", lambda self: (double.answers.update({self.path: (200, "")}), self._answer()))
    for _ in range(2):
        place(address, monkeypatch).send(JOB, 3)
    kinds = [(method, path.split("/")[2]) for method, path, _, _ in double.asked]
    assert kinds == [("GET", "packages"), ("PUT", "packages"), ("POST", "jobs"), ("GET", "packages"), ("POST", "jobs")]
    body = json.loads(double.asked[2][2])
    assert (body["submission_id"], body["entrypoint"]) == ("tiny-1.3", "python -m x 'a b'")
    assert "entrypoint_num_cpus" not in body  # nothing asked for: the driver is placed on the head


def test_the_same_attempt_twice_is_one(cluster: tuple[type[Double], str], monkeypatch: pytest.MonkeyPatch) -> None:
    double, address = cluster
    monkeypatch.setattr(double, "do_PUT", lambda self: (double.answers.update({self.path: (200, "")}), self._answer()))
    double.answers["/api/jobs/"] = (
        400,
        "ValueError: Job with submission_id tiny-1.1 already exists. Please use another",
    )
    place(address, monkeypatch).send(JOB, 1)
    double.answers["/api/jobs/"] = (400, "Traceback\nValueError: the disk is full")
    with pytest.raises(TargetError, match="the cluster did not take the job: ValueError: the disk is full"):
        place(address, monkeypatch).send(JOB, 1)


def test_a_lost_supervisor_is_told_from_a_job_that_failed(
    cluster: tuple[type[Double], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    double, address = cluster
    one = {
        "metadata": {"tunesmith": "tiny-1", "attempt": "2"},
        "status": "FAILED",
        "message": "a\nb\x1b]0;x\x07",
        "start_time": 2000,
        "submission_id": "tiny-1.2",
    }
    lost = {**one, "error_type": "JOB_SUPERVISOR_ACTOR_DIED"}
    others = [
        {"metadata": None, "status": "RUNNING"},
        {**one, "metadata": {"tunesmith": "evil", "attempt": "abc"}},
        {**one, "metadata": {"tunesmith": ["evil"], "attempt": "2"}},
        {**one, "metadata": {"tunesmith": "../../x", "attempt": "2"}, "submission_id": "../../x.2"},
        {**one, "submission_id": "somebody-elses"},
    ]
    double.answers["/api/jobs/"] = (200, [one, lost, *others])
    found = place(address, monkeypatch).jobs()
    assert [(status.state, status.message, status.started) for status in found] == [
        ("failed", "b\\x1b]0;x\\x07", 2.0),
        ("lost", "b\\x1b]0;x\\x07", 2.0),
    ]
    assert submission("tiny-1", 2) == "tiny-1.2"
