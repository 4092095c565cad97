"""Questions for people: those most unlike the training data, and those that tenants answer differently."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tunesmith.monitor.retrain.journal import Retrain
from tunesmith.monitor.retrain.said import AT_ONCE, ROLES, among, first_request, stretches, turns_of
from tunesmith.monitor.retrain.situation import DRIFT_ALARM
from tunesmith.store.database import Database
from tunesmith.store.home import Home

if TYPE_CHECKING:
    from tunesmith.monitor.findings import Finding
    from tunesmith.review.item import NewItem

REGION = "drift.all"
"""Findings of these two rules name the requests of a drifted region in their evidence, the most unlike first."""

DISPUTED = 1.0
"""Priority of a question that tenants answer differently: nothing says more."""

LOOK_BACK = timedelta(days=30)


def queue(home: Home, database: Database, name: str, most: int, retrain: Retrain) -> tuple[int, str]:
    """Put at most so many before raters; returns how many, and which. What is there already is not added again."""
    from tunesmith.review.reviews import Reviews

    items = _disputed(name, retrain.state.get("disputed", ()))[:most]
    num_disputed = len(items)
    if (ids := _region(database, name, retrain)) and len(items) < most:
        items += _drifted(home, database, name, ids, retrain)[: most - num_disputed]
    Reviews(database).add(items)
    return len(items), f"{num_disputed} that tenants dispute, {len(items) - num_disputed} from the drifted region"


def _region(database: Database, name: str, retrain: Retrain) -> list[str]:
    """Ids of the requests that lay in a drifted region when an alarm was given, each once, the most unlike first."""
    from tunesmith.monitor.findings import Findings

    since = retrain.started_at - LOOK_BACK
    found: list[str] = []
    for one in _newest_first(Findings(database).since(name, since, kind="drift", fired=True)):
        if one.rule in (DRIFT_ALARM, REGION):
            found += [str(entry) for entry in one.evidence.get("region", ())]
    return list(dict.fromkeys(found))


def _newest_first(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda one: one.at, reverse=True)


def _drifted(home: Home, database: Database, name: str, ids: list[str], retrain: Retrain) -> list[NewItem]:
    import pyarrow as pa

    from tunesmith.monitor.traffic.read import read_traffic
    from tunesmith.review.item import Answer, NewItem

    place = {request: number for number, request in enumerate(ids)}
    wanted, columns = pa.array(ids, pa.string()), ("id", "messages", "answer", "version")
    begin = max(retrain.started_at - LOOK_BACK, first_request(database, ids) or retrain.started_at)
    rows: list[dict[str, Any]] = []
    for moment in stretches(begin, retrain.started_at):
        until = min(moment + AT_ONCE, retrain.started_at)
        table = read_traffic(home, name, since=moment, until=until, roles=ROLES, columns=columns)
        rows += [row for row in table.filter(among(table["id"], wanted)).to_pylist() if row["answer"]]
    found = []
    for row in sorted(rows, key=lambda row: place[row["id"]]):
        if (messages := turns_of(row["messages"])) is not None:
            plain = [{"role": one["role"], "content": one["content"]} for one in messages]
            near = 1 - place[row["id"]] / len(ids)
            answers = [Answer(row["version"], row["answer"])]
            found.append(NewItem(name, "answer", plain, answers, 0.5 + near / 4, request=row["id"]))
    return found


def _disputed(name: str, disputed: Iterable[Any]) -> list[NewItem]:
    from tunesmith.review.item import Answer, NewItem

    return [
        NewItem(name, "answer", messages, [Answer("a client's correction", answer)], DISPUTED, request=request)
        for request, messages, answer in disputed
    ]
