"""One request on its way: who answers, what is written down of it, and its copy to a shadow."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Any

from tunesmith.experiment.evidence import SHADOW
from tunesmith.monitor.traffic.seen import Seen
from tunesmith.serve.access import Caller
from tunesmith.serve.answer import Looked, answered_tokens, look
from tunesmith.serve.ask import for_engine, is_stream
from tunesmith.serve.catalogue import Target
from tunesmith.serve.forward import Forward, Outcome
from tunesmith.serve.metrics import Metrics
from tunesmith.serve.state import State
from tunesmith.serve.traffic import FORCE_HEADER, Routed

VERSION_HEADER, REQUEST_HEADER = "x-tunesmith-version", "x-request-id"
EXPERIMENT_HEADER, VARIANT_HEADER = "x-tunesmith-experiment", FORCE_HEADER
NO_LOG_HEADER = "x-tunesmith-no-log"
MAX_SHADOWS = 32


@dataclass(frozen=True)
class Row:
    """What is written down of a request, but for how it went.

    `asked` is its body, where it goes into the traffic log; `of` the id of the request that a shadow's copies.
    """

    state: State
    path: str
    caller: Caller
    body: dict[str, Any]
    routed: Routed
    id: str
    asked: bytes | None = None
    of: str | None = None

    @property
    def name(self) -> str | None:
        """The registered name that was asked; None where only a base was."""
        routed = self.routed
        if routed.experiment is not None:
            return routed.experiment.name
        if routed.target.version is not None:
            return routed.target.version.partition("@")[0]
        return routed.target.model if routed.target.model in self.state.spec.names else None

    @property
    def named(self) -> dict[str, str]:
        """Headers of the answer that say who spoke."""
        routed = self.routed
        found = {VERSION_HEADER: routed.target.version or routed.target.model, REQUEST_HEADER: self.id}
        if routed.experiment is not None and routed.variant is not None:
            found |= {EXPERIMENT_HEADER: routed.experiment.id, VARIANT_HEADER: routed.variant}
        return found

    def of_shadow(self, variant: str, target: Target, request_id: str) -> Row:
        """That of a copy whose answer nobody sees."""
        shadow = replace(self.routed, target=target, variant=variant, role=SHADOW, shadows=())
        return replace(self, routed=shadow, id=request_id, of=self.id)

    def note(self, outcome: Outcome) -> None:
        """Write the request down. An answer is looked at here only in an experiment; its text is for the traffic log,
        which looks at it later and elsewhere."""
        routed, looked = self.routed, Looked()
        experiment = routed.experiment
        if outcome.kept is not None and experiment is not None and outcome.status < 400 and not outcome.left:
            looked = look(b"".join(outcome.kept), is_stream(self.body), experiment.json_schema)
        left = outcome.left and outcome.first_byte_seconds is None
        noted = {
            "id": self.id, "at": time.time(), "tenant": self.caller.tenant, "model": str(self.body.get("model")),
            "version": routed.target.version or routed.target.model,
            "experiment": experiment.id if experiment else None, "variant": routed.variant,
            "epoch": experiment.epoch if experiment else None, "unit": routed.unit, "role": routed.role,
            "status": 499 if left else 502 if outcome.broken else outcome.status,
            "first_seconds": outcome.first_byte_seconds, "seconds": outcome.seconds, "pieces": outcome.pieces,
            "empty": looked.empty, "truncated": looked.truncated, "invalid": looked.invalid,
        }  # fmt: skip
        self.state.recorder.note(noted)
        if (log := self.state.traffic_log) is not None and self.asked is not None and (name := self.name) is not None:
            if outcome.kept is None:
                log.pass_over()
            else:
                log.offer(Seen(name, noted, self.path, self.asked, outcome.kept, is_stream(self.body), self.of))


def forward(
    state: State, path: str, body: dict[str, Any], target: Target, row: Row, metrics: Metrics | None
) -> Forward:
    """The response that asks the engine; what comes of it is counted, limited and written down."""

    stream = is_stream(body)

    def done(outcome: Outcome) -> None:
        if not stream and outcome.kept is not None:
            outcome.pieces = answered_tokens(b"".join(outcome.kept))
        row.note(outcome)
        if metrics is not None:
            state.limiter.spend_tokens(row.caller, outcome.pieces)
            metrics.note(target.version or target.model, path, outcome)

    return Forward(
        session=state.session,
        url=f"{state.spec.address}{target.engine.route}{path}",
        body=for_engine(body, target),
        token=state.token,
        adapter=target.model if target.model != target.engine.model else None,
        request_id=row.id,
        named=row.named,
        timeout_seconds=state.spec.limits.timeout_seconds,
        stream=stream,
        done=done,
        keep=row.asked is not None or row.routed.experiment is not None or not stream,
    )


def copy_to_shadow(state: State, path: str, body: dict[str, Any], target: Target, row: Row) -> None:
    """Ask a shadow the same, beside the request. Where many are under way already, none is sent: users come first."""
    if state.num_background > MAX_SHADOWS:
        return

    async def ignore(_: Any) -> None:
        return

    async def never() -> dict[str, str]:
        await asyncio.Event().wait()
        return {}

    state.background(forward(state, path, body, target, row, None)({}, never, ignore))
