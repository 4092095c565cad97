"""How an endpoint does over a window: failures, what answers look like, times, what a thousand requests cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, or_, select

from tunesmith.experiment.evidence import INSTEAD, LIVE, SHADOW
from tunesmith.monitor.traffic.read import read_traffic
from tunesmith.registry.check import check_name
from tunesmith.store.database import Database
from tunesmith.store.home import Home
from tunesmith.store.tables import experiments, requests

if TYPE_CHECKING:
    import pyarrow as pa

TRAITS = ("empty", "truncated", "invalid", "refused", "repeated")
"""Columns of the traffic log that say what an answer is like."""

LOGGED = ("version", "stream", "status", "first_seconds", *TRAITS)

LEFT = 499
"""The status of a request whose client left before the answer began."""


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    part: int
    of: int

    @property
    def value(self) -> float | None:
        """The share; None of nothing."""
        return self.part / self.of if self.of else None


@dataclass(frozen=True)
class Rates:
    """What requests were like. Seconds are None where nothing was measured.

    `errors` are answers of the engine's or gateway's own failure (status 500 and above), of all requests; `left`
    clients that went before the answer began. The five about texts are of the answers in the traffic log for which each
    can be said. `first_*` is the time to the first token of streamed answers in the log.
    """

    requests: int
    errors: Share
    left: Share
    empty: Share
    truncated: Share
    invalid: Share
    refused: Share
    repeated: Share
    seconds_p50: float | None
    seconds_p95: float | None
    first_p50: float | None
    first_p95: float | None


@dataclass(frozen=True)
class Cost:
    """US dollars for a thousand requests; None where that cannot be said, and `why`."""

    usd_per_thousand: Decimal | None
    why: str


@dataclass(frozen=True)
class Health:
    """A name's in a window: of everything that users waited for, and of each version that answered."""

    name: str
    since: datetime
    until: datetime
    all: Rates
    versions: dict[str, Rates]
    cost: Cost

    def to_json(self) -> dict[str, Any]:
        """Plain values: shares with their numbers, the amount as text."""
        return {
            "name": self.name, "since": self.since.isoformat(), "until": self.until.isoformat(),
            "all": _plain(self.all), "versions": {name: _plain(one) for name, one in self.versions.items()},
            "usd_per_thousand": None if self.cost.usd_per_thousand is None else str(self.cost.usd_per_thousand),
            "cost_is": self.cost.why,
        }  # fmt: skip


def measure_health(
    home: Home,
    database: Database,
    name: str,
    since: datetime,
    until: datetime,
    usd_per_hour: float | None = None,
    roles: Sequence[str] = (LIVE, INSTEAD),
) -> Health:
    """How a registered name did, `since` <= at < `until`. `usd_per_hour` is `serve.usd_per_hour`, of all engines.

    Counts and times are of every request; what texts are like, of those in the traffic log. Raises StoreError.
    """
    rows = _requests(database, check_name(name), since, until, roles)
    log = read_traffic(home, name, since, until, roles=roles, columns=LOGGED)
    found = sorted({row.version for row in rows} | set(log["version"].to_pylist()))
    versions = {
        version: _rates([row for row in rows if row.version == version], _of(log, version)) for version in found
    }
    return Health(
        name, since, until, _rates(rows, log), versions, _cost(database, since, until, usd_per_hour),
    )  # fmt: skip


class _Request(NamedTuple):
    version: str
    status: int
    seconds: float


def _requests(
    database: Database, name: str, since: datetime, until: datetime, roles: Sequence[str]
) -> Sequence[_Request]:
    # A prompt of an experiment is answered by a base: the experiment says whose request it was.
    own = select(experiments.c.id).where(experiments.c.name == name)
    chosen = (
        select(requests.c.version, requests.c.status, requests.c.seconds)
        .where(requests.c.at >= since, requests.c.at < until, requests.c.role.in_(list(roles)))
        .where(or_(requests.c.version.startswith(f"{name}@", autoescape=True), requests.c.experiment.in_(own)))
    )
    with database.reading() as connection:
        return [_Request(*row) for row in connection.execute(chosen)]


def _cost(database: Database, since: datetime, until: datetime, usd_per_hour: float | None) -> Cost:
    """The hours of the window, shared out to all requests that users waited for, of whatever name: engines are shared.

    It takes the endpoint to have been up all the time.
    """
    if usd_per_hour is None:
        return Cost(None, "not known: serve.usd_per_hour says what the engines cost")
    chosen = select(func.count()).where(
        requests.c.at >= since, requests.c.at < until, requests.c.role != SHADOW, requests.c.status < 400
    )
    with database.reading() as connection:
        number = int(connection.execute(chosen).scalar_one())
    if not number:
        return Cost(None, "not known: nothing was answered")
    hours = Decimal((until - since) / timedelta(hours=1)).quantize(Decimal("0.0001"))
    whole = Decimal(str(usd_per_hour)) * hours
    return Cost(
        (1000 * whole / number).quantize(Decimal("0.000001")), f"${usd_per_hour:g} an hour for {number} answers"
    )


def _of(log: pa.Table, version: str) -> pa.Table:
    import pyarrow.compute as pc

    return log.filter(pc.field("version") == version)


def _rates(rows: Sequence[_Request], log: pa.Table) -> Rates:
    import pyarrow.compute as pc

    shares = {trait: Share(int(pc.sum(log[trait]).as_py() or 0), len(log) - log[trait].null_count) for trait in TRAITS}
    answered = [row.seconds for row in rows if row.status < 400]
    first = log.filter(pc.field("stream") & (pc.field("status") < 400))["first_seconds"].drop_null().to_pylist()
    return Rates(
        requests=len(rows),
        errors=Share(sum(row.status >= 500 for row in rows), len(rows)),
        left=Share(sum(row.status == LEFT for row in rows), len(rows)),
        **shares,
        seconds_p50=_quantile(answered, 0.5), seconds_p95=_quantile(answered, 0.95),
        first_p50=_quantile(first, 0.5), first_p95=_quantile(first, 0.95),
    )  # fmt: skip


def _quantile(values: list[float], share: float) -> float | None:
    import numpy as np

    return float(np.quantile(values, share)) if values else None


def _plain(rates: Rates) -> dict[str, Any]:
    return {
        key: {**value, "value": value["part"] / value["of"] if value["of"] else None}
        if isinstance(value, dict) else value
        for key, value in asdict(rates).items()
    }  # fmt: skip
