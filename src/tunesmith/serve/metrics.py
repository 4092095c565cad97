"""Counts and durations of a gateway, as Prometheus reads them."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest

from tunesmith.serve.forward import Outcome

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Metrics:
    """One gateway's; several are told apart by Prometheus's own instance label."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        labels = ("version", "path")
        self._requests = Counter(
            "tunesmith_requests", "Requests by answer.", (*labels, "status"), registry=self._registry
        )
        self._first = Histogram(
            "tunesmith_first_byte_seconds", "Until the first byte of an answer.", labels, buckets=SECONDS,
            registry=self._registry,
        )  # fmt: skip
        self._whole = Histogram(
            "tunesmith_request_seconds", "Until the end of an answer.", labels, buckets=SECONDS, registry=self._registry
        )
        self._pieces = Counter(
            "tunesmith_stream_events", "Pieces of streamed answers: one a token.", labels, registry=self._registry
        )
        self._lost = Counter(
            "tunesmith_unfinished", "Answers that did not end: the client left, or the engine was lost.",
            (*labels, "why"), registry=self._registry,
        )  # fmt: skip

    def note(self, version: str, path: str, outcome: Outcome) -> None:
        """Count one request."""
        self._requests.labels(version, path, str(outcome.status or 499)).inc()
        self._whole.labels(version, path).observe(outcome.seconds)
        if outcome.first_byte_seconds is not None:
            self._first.labels(version, path).observe(outcome.first_byte_seconds)
        if outcome.pieces:
            self._pieces.labels(version, path).inc(outcome.pieces)
        if outcome.left or outcome.broken:
            self._lost.labels(version, path, "client left" if outcome.left else "engine lost").inc()

    def text(self) -> bytes:
        """Prometheus's text format."""
        return generate_latest(self._registry)
