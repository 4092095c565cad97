"""What a challenger is called where people judge it: it has no version until every gate has been asked."""

from __future__ import annotations

from collections.abc import Iterable

from tunesmith.monitor.retrain.journal import Retrain


def source_of(retrain: Retrain) -> str:
    """The challenger of a retrain as a source of answers: `summaries@retrain-3`, which no version is called."""
    return f"{retrain.name}@retrain-{retrain.number}"


def registered_as(retrains: Iterable[Retrain]) -> dict[str, str]:
    """Source -> the version that it was registered as, of those that were."""
    return {source_of(one): str(one.state["version"]) for one in retrains if one.state.get("version")}
