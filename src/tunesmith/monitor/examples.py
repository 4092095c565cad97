"""What the requests of a drifted region say: read from the traffic log, as far as it still has them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tunesmith.monitor.findings import Finding
from tunesmith.monitor.standing import Standing

if TYPE_CHECKING:
    from tunesmith.store.home import Home

MOST = 12


@dataclass(frozen=True)
class Asked:
    """A request as the log has it, and when."""

    id: str
    at: datetime
    prompt: str
    answer: str | None


def region_of(standing: Standing) -> Finding | None:
    """The newest finding that names requests unlike the training data: of an alarm, or else of one window."""
    for rule in ("drift.alarm", "drift.all"):
        found = standing.last_fired(rule)
        if found is not None and found.evidence.get("region"):
            return found
    return None


def region_examples(home: Home, standing: Standing) -> list[Asked]:
    """The requests of that finding, the most unlike first. Raises StoreError when the log cannot be read."""
    finding = region_of(standing)
    if finding is None:
        return []
    from tunesmith.monitor.traffic.read import read_traffic

    begin, end = (datetime.fromisoformat(str(finding.evidence[key])) for key in ("since", "until"))
    order = {str(one): number for number, one in enumerate(finding.evidence["region"][:MOST])}
    table = read_traffic(home, standing.name, begin, end + timedelta(seconds=1), version=finding.version)
    found = [
        Asked(row["id"], row["at"], _words(row["messages"]), row["answer"])
        for row in table.select(["id", "at", "messages", "answer"]).to_pylist()
        if row["id"] in order
    ]
    return sorted(found, key=lambda one: order[one.id])


def _words(messages: str) -> str:
    """What the user said last."""
    try:
        turns = json.loads(messages)
        said = [one["content"] for one in turns if one.get("role") == "user"]
        return str(said[-1]) if said else str(turns[-1].get("content"))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return messages
