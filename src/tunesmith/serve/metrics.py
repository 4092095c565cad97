"""Counts and durations of a gateway, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from tunesmith.monitor.traffic.log import TrafficLog
from tunesmith.monitor.traffic.rows import TrafficRow
from tunesmith.serve.forward import Outcome

TRAITS = ("empty", "truncated", "invalid", "refused", "repeated")
"""What an answer in the traffic log is found to be, or not."""

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Metrics:
    """One gateway's; several are told apart by Prometheus's own instance label.

    What answers are like is counted where there is a traffic log, of the requests that go into it, by its thread.
    """

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, log: TrafficLog | None = None) -> None:
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
        self._answers = Counter(
            "tunesmith_answers", "Answers in the traffic log: all (`looked at`), and those found empty, truncated, "
            "invalid, refused, repeated.", ("version", "role", "what"), registry=self._registry,
        )  # fmt: skip
        self._tokens = Counter(
            "tunesmith_tokens", "Tokens of requests in the traffic log, read and written, where the engine says.",
            ("version", "role", "what"), registry=self._registry,
        )  # fmt: skip
        if log is not None:
            log.tell(self.note_answer)
            self._registry.register(_OfLog(log))

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

    def note_answer(self, row: TrafficRow) -> None:
        """Count an answer by what it is like. Not on a request's way."""
        if row.answer is None:
            return
        self._answers.labels(row.version, row.role, "looked at").inc()
        for what in TRAITS:
            # Also where it is not: a rate begins with a count of none.
            self._answers.labels(row.version, row.role, what).inc(1 if getattr(row, what) else 0)
        for what, number in (("read", row.prompt_tokens), ("written", row.answer_tokens)):
            if number:
                self._tokens.labels(row.version, row.role, what).inc(number)

    def text(self) -> bytes:
        """Prometheus's text format."""
        return generate_latest(self._registry)


class _OfLog:
    """Counts that the traffic log keeps itself, read when Prometheus asks."""

    def __init__(self, log: TrafficLog) -> None:
        self._log = log

    def collect(self) -> Iterator[Any]:
        """Rows written and lost, bytes that wait."""
        rows = CounterMetricFamily("tunesmith_traffic_rows", "Rows of the traffic log.", labels=("what",))
        rows.add_metric(("written",), self._log.written)
        rows.add_metric(("lost",), self._log.lost)
        yield rows
        waiting = "Memory of rows that wait to be written."
        yield GaugeMetricFamily("tunesmith_traffic_pending_bytes", waiting, self._log.pending)
