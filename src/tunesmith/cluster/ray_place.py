"""A Ray cluster through its Jobs API, over HTTP: neither Ray nor its version is needed here."""

from __future__ import annotations

import math
import re
import shlex
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tunesmith.cluster.place import Cluster, Job, JobStatus, Node, State
from tunesmith.cluster.targets import Target, TargetError, header_of, token_of
from tunesmith.report.legible import one_line

if TYPE_CHECKING:
    import httpx

MARK = "tunesmith"
"""Key of a job's metadata that says it is one of ours, and which."""

JOB = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""How our jobs are called: a folder's name, here, there and in the storage."""

OF_NO_KIND = re.compile(r"node_?[0-9a-f]{56}", re.IGNORECASE)
"""What Ray calls the kind of a node that was not started by its autoscaler."""

SECONDS = 60.0
LATEST = 1e14
"""Milliseconds since 1970 that still are a date."""

LOST = ("JOB_SUPERVISOR_ACTOR_DIED", "JOB_SUPERVISOR_ACTOR_START_TIMEOUT", "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE",
        "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE")  # fmt: skip
"""Ray's kinds of failure that are not the job's own."""

STATES: dict[str, State] = {
    "PENDING": "waiting", "RUNNING": "running", "SUCCEEDED": "succeeded", "FAILED": "failed", "STOPPED": "stopped",
}  # fmt: skip


class Unreachable(TargetError):
    """The cluster did not answer; asked again later it may."""


class RayPlace:
    """Speaks to one cluster."""

    def __init__(self, target: Target) -> None:
        """Raises TargetError for a token, certificate or header that cannot be had."""
        import httpx

        assert target.address is not None, "a tunnel is not open"
        self.target = target
        headers = {name: header_of(variable) for name, variable in target.headers_env.items()}
        if (token := token_of(target)) is not None:
            headers["authorization"] = f"Bearer {token}"
        verify: ssl.SSLContext | bool = True
        if target.ca_file is not None:
            try:
                verify = ssl.create_default_context(cafile=Path(target.ca_file).expanduser())
            except (OSError, ssl.SSLError) as error:
                raise TargetError(f"the certificates cannot be read ({error})", where="ca_file") from None
        # A proxy of the environment is not for this machine's own tunnel, and would read the token.
        outside = urlsplit(target.address).hostname not in ("127.0.0.1", "::1", "localhost")
        try:
            self._client = httpx.Client(
                base_url=target.address, headers=headers, verify=verify, timeout=SECONDS, trust_env=outside
            )
        except (httpx.InvalidURL, ImportError, ValueError) as error:
            raise TargetError(
                f"no connection can be made ({type(error).__name__})",
                where=target.address,
                fix="check the address, and HTTP_PROXY and ALL_PROXY",
            ) from None

    def look(self) -> Cluster:
        """Its nodes. Refuses a cluster of another version of Ray."""
        with self._understood():
            theirs = one_line(str(self._ask("GET", "/api/version").json()["ray_version"]), 40)
        wanted = pinned_ray()
        if wanted is not None and theirs != wanted:
            raise TargetError(
                f"the cluster runs Ray {theirs}, and this Tunesmith is made for {wanted}",
                where=self.target.address,
                fix=f"give the cluster an image with ray=={wanted}, or use the Tunesmith that goes with {theirs}",
            )
        with self._understood():
            nodes = self._ask("GET", "/api/v0/nodes", params={"detail": "1", "limit": "10000"}).json()
            alive = [one for one in nodes["data"]["result"]["result"] if one["state"] == "ALIVE"]
            found = tuple(Node(_numbers(one["resources_total"]), dict(one.get("labels") or {})) for one in alive)
            return Cluster(found, self._grows())

    def send(self, job: Job, attempt: int) -> None:
        """Upload the package where it is not there yet, and start the job on the head."""
        uri = self._upload(job)
        body = {
            "entrypoint": shlex.join(job.entrypoint),
            "submission_id": submission(job.id, attempt),
            "runtime_env": {"working_dir": uri, "env_vars": job.environment},
            "metadata": {
                MARK: job.id, "attempt": str(attempt), "recipe": job.recipe, "storage": job.storage,
                "digest": job.digest,
            },
        }  # fmt: skip
        answer = self._ask("POST", "/api/jobs/", json=body, fine=(400, 500))
        if answer.status_code != 200 and "already exists" not in answer.text:
            raise TargetError(f"the cluster did not take the job: {_last_line(answer.text)}", where=self.target.address)

    def jobs(self) -> list[JobStatus]:
        """Those of ours."""
        with self._understood():
            listed = self._ask("GET", "/api/jobs/").json()
            found = [_status(one) for one in listed if _is_ours(one)]
        return sorted(found, key=lambda one: (one.started or 0.0, one.attempt))

    def logs(self, id: str, attempt: int) -> str:
        """The driver's log. Empty until there is one."""
        answer = self._ask("GET", f"/api/jobs/{submission(id, attempt)}/logs", fine=(404, 500))
        with self._understood():
            return str(answer.json()["logs"]) if answer.status_code == 200 else ""

    def stop(self, id: str, attempt: int) -> None:
        """SIGTERM to the job, which asks the run for a checkpoint."""
        self._ask("POST", f"/api/jobs/{submission(id, attempt)}/stop")

    def _upload(self, job: Job) -> str:
        import hashlib

        name = f"_ray_pkg_{hashlib.sha256(job.package).hexdigest()[:32]}.zip"
        path = f"/api/packages/gcs/{name}"
        if self._ask("GET", path, fine=(404,)).status_code == 404:
            self._ask("PUT", path, content=job.package)
        return f"gcs://{name}"

    def _grows(self) -> bool:
        """Whether an autoscaler starts nodes. Also one that only watches gives a report, with a kind for each node."""
        if self.target.grows is not None:
            return self.target.grows
        answer = self._ask("GET", "/api/cluster_status", fine=(404, 500))
        if answer.status_code != 200:
            return False
        report = (answer.json().get("data") or {}).get("clusterStatus") or {}
        kinds = (report.get("autoscalerReport") or {}).get("activeNodes") or {}
        return any(not OF_NO_KIND.fullmatch(kind) for kind in kinds)

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Unreachable(
                "what answers there is no dashboard of Ray",
                where=self.target.address,
                fix="is the address right, and does a login page stand in front of it?",
            ) from None

    def _ask(self, method: str, path: str, fine: tuple[int, ...] = (), **options: Any) -> httpx.Response:
        import httpx

        where = self.target.address
        try:
            answer = self._client.request(method, path, **options)
        except (httpx.RequestError, httpx.InvalidURL, UnicodeError) as error:
            reason = one_line(str(error), 200) or type(error).__name__
            raise Unreachable(
                f"the cluster does not answer: {reason}",
                where=where,
                fix="is it up, is the address right, the tunnel open?",
            ) from None
        if answer.status_code in (401, 403):
            fix = "set token_file or RAY_AUTH_TOKEN to the cluster's token (`ray get-auth-token` on its head shows it)"
            raise TargetError("the cluster refuses the token, or there is none", where=where, fix=fix)
        if answer.status_code >= 300 and answer.status_code not in fine:
            kind = Unreachable if answer.status_code in (429, 500, 502, 503, 504) else TargetError
            raise kind(f"{path} was answered with {answer.status_code}: {_last_line(answer.text)}", where=where)
        return answer


def submission(id: str, attempt: int) -> str:
    """What Ray calls an attempt."""
    return f"{id}.{attempt}"


def pinned_ray() -> str | None:
    """The version of Ray that this package is made for, by its own metadata."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        wanted = [re.match(r"ray\[.*\]==([0-9.]+)", one) for one in requires("tunesmith") or ()]
    except PackageNotFoundError:
        return None
    return next((one[1] for one in wanted if one), None)


def _is_ours(one: dict[str, Any]) -> bool:
    """Others share the cluster, and may write what they like into their jobs."""
    about = one.get("metadata")
    if not isinstance(about, dict) or not all(isinstance(value, str) for value in about.values()):
        return False
    id, attempt = about.get(MARK, ""), about.get("attempt", "")
    plain = JOB.fullmatch(id) is not None and re.fullmatch(r"[0-9]{1,6}", attempt) is not None
    return plain and one.get("submission_id") == submission(id, int(attempt))


def _status(one: dict[str, Any]) -> JobStatus:
    about = one["metadata"]
    state = STATES.get(one["status"], "failed")
    if state == "failed" and one.get("error_type") in LOST:
        state = "lost"
    code = one.get("driver_exit_code")
    return JobStatus(
        id=about[MARK], attempt=int(about.get("attempt", 1)), recipe=about.get("recipe", ""), state=state,
        message=_last_line(one.get("message") or ""), started=_seconds(one.get("start_time")),
        ended=_seconds(one.get("end_time")), exit_code=code if isinstance(code, int) else None,
        digest=about.get("digest", ""),
    )  # fmt: skip


def _numbers(resources: dict[str, Any]) -> dict[str, float]:
    return {name: float(n) for name, n in resources.items() if isinstance(n, int | float) and math.isfinite(n)}


def _seconds(milliseconds: object) -> float | None:
    if not isinstance(milliseconds, int | float) or not 0 < milliseconds < LATEST:
        return None
    return milliseconds / 1000


def _last_line(text: object) -> str:
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    return one_line(lines[-1], 300) if lines else "no reason given"
