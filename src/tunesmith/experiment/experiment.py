"""An experiment as it stands: a name that clients ask for, variants that answer, and the rules it is held to."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tunesmith.errors import StoreError
from tunesmith.experiment.assignment import Allocation, allocate
from tunesmith.experiment.decision import Metric
from tunesmith.experiment.guardrail import Guardrail, Watched

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
CONTROL = "control"

Stage = Literal["shadow", "canary", "ab", "ended"]
STEPS = (1.0, 5.0, 25.0, 50.0)


class Part(BaseModel):
    """Closed to unknown keys and never changed in place."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Variant(Part):
    """Who answers: a registered version (`summaries@4`), or the base model with a prompt of its own.

    `messages` stand before the client's: a system message, and examples as turns. Without `version` the base answers.
    """

    version: str | None = None
    messages: tuple[dict[str, str], ...] = ()

    @model_validator(mode="after")
    def _is_something(self) -> Variant:
        if self.version is None and not self.messages:
            raise ValueError("a variant is a version, or a prompt of the base model")
        for message in self.messages:
            if set(message) != {"role", "content"} or message["role"] not in ("system", "user", "assistant"):
                raise ValueError("a prompt is a list of messages with role and content")
        return self


class Rule(Part):
    """A guardrail: see `guardrail.Guardrail`."""

    watched: Watched
    limit: float | None = Field(None, ge=0, lt=1)
    margin: float | None = Field(None, ge=0, lt=1)
    alpha: float = Field(0.01, gt=0, lt=0.5)

    def guardrail(self) -> Guardrail:
        """As it is judged."""
        return Guardrail(self.watched, self.limit, self.margin, self.alpha)


DEFAULT_RULES = (
    Rule(watched="error_rate", limit=0.05, margin=0.01),
    Rule(watched="empty_rate", limit=0.05, margin=0.01),
    Rule(watched="truncated_rate", margin=0.2),
    Rule(watched="invalid_rate", margin=0.1),
    Rule(watched="slow_rate", margin=0.2),
    Rule(watched="negative_rate", margin=0.2),
)
"""Held to unless an experiment names its own."""


class Goal(Part):
    """A metric that is read: see `decision.Metric`. The name is that of feedback: `thumb`, `score`, or one's own."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    better: Literal["higher", "lower"] = "higher"
    matters: float = Field(0.0, ge=0)
    decides: bool = True

    def metric(self) -> Metric:
        """As it is read."""
        return Metric(self.name, self.better, self.matters, self.decides)


class Experiment(Part):
    """The state of an experiment. Each change makes a new one, with the next `revision`.

    `epoch` counts the times with the same weights: users are compared within them. `weights` are percentages.
    """

    id: str
    name: str
    stage: Stage
    salt: str
    variants: dict[str, Variant]
    weights: dict[str, float]
    allocation: list[list[str | int]]
    revision: int = 1
    epoch: int = 1
    epochs: dict[str, dict[str, float]] = Field(default_factory=dict)
    steps: tuple[float, ...] = STEPS
    step_hours: float | None = Field(None, gt=0)
    goals: tuple[Goal, ...] = ()
    rules: tuple[Rule, ...] = DEFAULT_RULES
    slow_seconds: float = Field(5.0, gt=0)
    json_schema: dict[str, Any] | None = None
    alpha: float = Field(0.05, gt=0, lt=0.5)
    planned_users: int = Field(2_000, ge=100)
    minimum_users: int = Field(100, ge=2)
    decides_itself: bool = False
    verdict: str | None = None
    reason: str | None = None

    @model_validator(mode="after")
    def _holds_together(self) -> Experiment:
        if not NAME.fullmatch(self.id):
            raise ValueError("an experiment's id is made of lower-case letters, digits, dots, dashes and underscores")
        if CONTROL not in self.variants or len(self.variants) < 2:
            raise ValueError(f"an experiment has a variant '{CONTROL}' and at least one more")
        if set(self.weights) != set(self.variants):
            raise ValueError("every variant has a weight")
        return self

    @property
    def treatments(self) -> tuple[str, ...]:
        """Variants besides the control."""
        return tuple(name for name in self.variants if name != CONTROL)

    @property
    def running(self) -> bool:
        """Whether it takes part in traffic."""
        return self.stage != "ended"

    def slots(self) -> Allocation:
        """Who gets whom."""
        return Allocation.from_json(self.allocation)

    def with_weights(self, weights: dict[str, float], stage: Stage | None = None) -> Experiment:
        """The same with other weights, as few users moved as must be. Raises StoreError for weights that are none."""
        if unknown := sorted(set(weights) - set(self.variants)):
            raise StoreError(
                f"there is no variant {unknown[0][:40]!a}", where="weights", fix=f"known: {', '.join(self.variants)}"
            )
        whole = {name: weights.get(name, 0.0) for name in self.variants}
        moved = allocate(whole, self.slots())
        epoch = self.epoch + 1
        return self.model_copy(
            update={
                "weights": whole, "allocation": moved.to_json(), "epoch": epoch, "stage": stage or self.stage,
                "epochs": {**self.epochs, str(epoch): whole},
            }
        )  # fmt: skip

    def with_share(self, share: float, stage: Stage | None = None) -> Experiment:
        """The control keeps what the others, evenly, do not get of 100."""
        each = share / len(self.treatments)
        return self.with_weights({CONTROL: 100 - share, **dict.fromkeys(self.treatments, each)}, stage)


def new_experiment(
    experiment_id: str, name: str, salt: str, variants: dict[str, Variant], stage: Stage, **settings: Any
) -> Experiment:
    """An experiment at its start: shadow and the first canary step as `stage` says, `ab` at even shares."""
    steps = tuple(settings.pop("steps", STEPS))
    share = {"shadow": 0.0, "canary": steps[0], "ab": 100 * (len(variants) - 1) / max(1, len(variants))}.get(stage, 0.0)
    others = [key for key in variants if key != CONTROL]
    weights = {key: 100 - share if key == CONTROL else share / max(1, len(others)) for key in variants}
    return Experiment(
        id=experiment_id, name=name, stage=stage, salt=salt, variants=variants, weights=weights, steps=steps,
        allocation=allocate(weights).to_json(), epochs={"1": weights}, **settings,
    )  # fmt: skip
