"""What each cloud's metadata service says, read from a double that speaks HTTP as it does."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime

import pytest

from tests.metadata import serving
from tunesmith.cluster.spot import CLOUDS, aws, azure
from tunesmith.cluster.spot.notice import SHORTEST, Notice, Unreachable

NOW = datetime(2026, 11, 27, 8, 0, tzinfo=UTC).timestamp()

ACTION = "/latest/meta-data/spot/instance-action"
REBALANCE = "/latest/meta-data/events/recommendations/rebalance"
PREEMPTED = "/computeMetadata/v1/instance/preempted"
MAINTENANCE = "/computeMetadata/v1/instance/maintenance-event"
QUIET_GCP = {PREEMPTED: "FALSE", MAINTENANCE: "NONE"}


def events(*found: tuple[str, str, str]) -> dict[str, str]:
    """Scheduled events as Azure writes them: kind, machine, time."""
    listed = [
        {"EventId": str(number), "EventType": kind, "ResourceType": "VirtualMachine", "Resources": [machine],
         "EventStatus": "Scheduled", "NotBefore": before, "Description": "", "EventSource": "Platform",
         "DurationInSeconds": -1}
        for number, (kind, machine, before) in enumerate(found)
    ]  # fmt: skip
    return {azure.NAME: "worker-1", azure.EVENTS: json.dumps({"DocumentIncarnation": 1, "Events": listed})}


SAYS: list[tuple[str, dict[str, str], Notice | None]] = [
    ("aws", {}, None),
    (
        "aws",
        {ACTION: '{"action": "terminate", "time": "2026-11-27T08:02:00Z"}'},
        Notice("AWS will terminate this spot instance", 120),
    ),
    (
        "aws",
        {ACTION: '{"action": "stop", "time": "2026-11-27T07:59:00Z"}', REBALANCE: "{}"},
        Notice("AWS will stop this spot instance", SHORTEST),
    ),
    (
        "aws",
        {REBALANCE: '{"noticeTime": "2026-11-27T07:59:30Z"}'},
        Notice("AWS sees a higher risk of interruption (rebalance recommendation)", 120, certain=False),
    ),
    ("gcp", QUIET_GCP, None),
    ("gcp", {**QUIET_GCP, MAINTENANCE: "MIGRATE_ON_HOST_MAINTENANCE"}, None),
    ("gcp", {**QUIET_GCP, PREEMPTED: "TRUE"}, Notice("Google preempts this instance", 30)),
    (
        "gcp",
        {**QUIET_GCP, MAINTENANCE: "TERMINATE_ON_HOST_MAINTENANCE"},
        Notice("Google ends this instance for maintenance of its host", 60),
    ),
    ("azure", events(), None),
    ("azure", events(("Freeze", "worker-1", "Fri, 27 Nov 2026 08:05:00 GMT")), None),
    ("azure", events(("Preempt", "worker-2", "Fri, 27 Nov 2026 08:00:30 GMT")), None),
    (
        "azure",
        events(("Preempt", "worker-1", "Fri, 27 Nov 2026 08:00:30 GMT")),
        Notice("Azure evicts this spot machine", 30),
    ),
    (
        "azure",
        events(("Reboot", "worker-1", "Fri, 27 Nov 2026 08:15:00 GMT"), ("Preempt", "worker-1", "")),
        Notice("Azure evicts this spot machine", 30),
    ),
]


@pytest.mark.parametrize(("cloud", "answers", "notice"), SAYS)
def test_what_the_services_say(cloud: str, answers: dict[str, str], notice: Notice | None) -> None:
    with serving(cloud) as double:
        double.answers = answers
        assert CLOUDS[cloud](double.url).look(NOW) == notice


@pytest.mark.parametrize(
    ("cloud", "answers"),
    [
        ("aws", {ACTION: "<html>captive portal</html>"}),
        ("aws", {ACTION: '{"action": "terminate"}'}),
        ("aws", {ACTION: '{"action": "terminate", "time": "soon"}'}),
        ("gcp", {PREEMPTED: "<html>"}),
        ("azure", {azure.NAME: "worker-1", azure.EVENTS: "[]"}),
        ("azure", {azure.NAME: "worker-1", azure.EVENTS: '{"Events": [{"EventType": "Preempt"}]}'}),
        ("azure", events(("Preempt", "worker-1", "tomorrow"))),
        ("azure", {azure.EVENTS: '{"Events": []}'}),
    ],
)
def test_an_answer_that_cannot_be_read_is_no_notice_and_no_crash(cloud: str, answers: dict[str, str]) -> None:
    with serving(cloud) as double:
        double.answers = answers
        with pytest.raises(Unreachable):
            CLOUDS[cloud](double.url).look(NOW)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_errors_slow_answers_and_nobody_there_are_unreachable(cloud: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"tunesmith.cluster.spot.{cloud}.SECONDS", 0.2)
    # A proxy of the environment must not be asked: it is not on this machine.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with serving(cloud) as double:
        double.broken = True
        with pytest.raises(Unreachable, match=r"500|405|token"):
            CLOUDS[cloud](double.url).look(NOW)
        double.broken, double.slow = False, 1.0
        with pytest.raises(Unreachable, match=r"does not answer|403"):
            CLOUDS[cloud](double.url).look(NOW)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable, match="does not answer"):
            CLOUDS[cloud](f"http://127.0.0.1:{unused.getsockname()[1]}").look(NOW)


def test_aws_asks_for_a_token_once_and_again_when_it_is_no_longer_good() -> None:
    with serving("aws") as double:
        service = aws.Aws(double.url)
        assert service.look(NOW) is None
        assert service.look(NOW + 5) is None
        assert double.asked.count("PUT /latest/api/token") == 1
        double.tokens = {"second"}
        with pytest.raises(Unreachable, match="401"):
            service.look(NOW + 10)
        assert service.look(NOW + 15) is None
        assert service.look(NOW + 15 + aws.TOKEN_SECONDS / 2) is None
        assert double.asked.count("PUT /latest/api/token") == 3


def test_azure_may_take_long_over_the_first_answer_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first question for events turns them on."""
    with serving("azure") as double:
        double.answers = events(("Preempt", "worker-1", "Fri, 27 Nov 2026 08:00:30 GMT"))
        monkeypatch.setattr(azure, "SECONDS", 0.2)
        service = azure.Azure(double.url)
        service._name = "worker-1"
        double.slow = 0.6
        assert service.look(NOW) is not None
        with pytest.raises(Unreachable, match="does not answer"):
            service.look(NOW)
