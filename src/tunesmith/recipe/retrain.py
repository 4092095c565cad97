"""The `retrain` section: when to train again, what the new version must show, and how it meets users."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from tunesmith.recipe.monitor import MAX_DAYS
from tunesmith.recipe.section import Section

STAGES = ("shadow", "canary", "ab")

_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]"
QuietHours = Annotated[str, StringConstraints(pattern=rf"^{_TIME}-{_TIME}$")]


class ScheduleTrigger(Section):
    """So many days after the live version was trained."""

    every_days: float = Field(90.0, gt=0, le=MAX_DAYS)
    """Days."""


class DriftTrigger(Section):
    """An alarm of data drift since the last retrain."""

    alarms: int = Field(1, ge=1)
    """Alarms it takes."""


class QualityTrigger(Section):
    """An alarm of quality: feedback, schema validity, corrections, the golden set."""

    alarms: int = Field(1, ge=1)
    """Alarms it takes."""


class VolumeTrigger(Section):
    """New labelled examples: corrections and well-rated answers since the last training began, whatever came of it."""

    examples: int = Field(200, ge=1)
    """How many."""


class TriggersSection(Section):
    """Rules that start a retrain, and how many of them must say so."""

    when: Literal["any", "all"] | int = "any"
    """`any`, `all`, or a number: at least so many."""

    schedule: ScheduleTrigger | None = None
    """By the calendar."""

    drift: DriftTrigger | None = None
    """When inputs have changed."""

    quality: QualityTrigger | None = None
    """When answers got worse."""

    volume: VolumeTrigger | None = None
    """When there is enough to learn from."""

    @model_validator(mode="after")
    def _possible(self) -> TriggersSection:
        given = sum(one is not None for one in (self.schedule, self.drift, self.quality, self.volume))
        if isinstance(self.when, int) and not 1 <= self.when <= max(1, given):
            raise ValueError(f"when: {self.when} of {given} triggers can never be", f"give a number from 1 to {given}")
        return self


class PeopleGate(Section):
    """People see answers of both versions to held-out rows, blind, and must not find the champion's better."""

    pairs: int = Field(40, ge=10, le=1000)
    """Pairs of answers that are put before raters, of the rows on which the two versions differ."""

    margin: float = Field(0.2, ge=0, lt=0.5)
    """How far below one half the share of pairs that it wins may lie, a tie as half a win: at 0.2 the lower end of the
    share's interval must reach 0.3."""

    max_days: float = Field(14.0, gt=0, le=MAX_DAYS)
    """Days that raters are waited for; then those pairs decide that were judged."""


class GatesSection(Section):
    """What a retrained version must show besides the recipe's own gate."""

    margin_old: float = Field(0.05, ge=0)
    """How much worse it may be than the champion on the old held-out rows, in the gate's metric."""

    margin_general: float = Field(0.1, ge=0)
    """How much its loss on general text may lie above the base model's, in nats per token."""

    blocked_words: tuple[str, ...] = ()
    """Words that no answer on the held-out rows may hold, where the user's turns do not. Case, encoding, line breaks
    and characters that cannot be seen make no difference."""

    people: PeopleGate | None = None
    """Ask raters of `tunesmith review`, once every other gate on answers has passed. Nobody is asked if left out."""

    @field_validator("blocked_words")
    @classmethod
    def _can_be_seen(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        if not all(any(char.isprintable() and not char.isspace() for char in word) for word in words):
            raise ValueError("blocked_words: an empty word is in every answer", "leave it out")
        return words


class ReleaseSection(Section):
    """How a version that passed its gates meets users."""

    stages: tuple[Literal["shadow", "canary", "ab"], ...] = ("shadow", "canary", "ab")
    """Stages it goes through, in this order."""

    shadow_requests: int = Field(200, ge=1, le=1_000_000_000)
    """Requests copied to it before it may answer any."""

    steps: tuple[float, ...] = Field((1.0, 5.0, 25.0, 50.0), min_length=1)
    """Canary steps, in per cent."""

    step_hours: float = Field(24.0, gt=0, le=24 * MAX_DAYS)
    """Hours of each step."""

    goal: str = Field("thumb", pattern=r"^[a-z][a-z0-9_]{0,39}$")
    """Feedback that decides."""

    planned_users: int = Field(2000, ge=100, le=1_000_000_000)
    """Users, of both together, at which to be surest."""

    max_days: float = Field(30.0, gt=0, le=MAX_DAYS)
    """Days after which an experiment that has decided nothing ends with the champion as it is."""

    @model_validator(mode="after")
    def _leads_to_users(self) -> ReleaseSection:
        order = [STAGES.index(stage) for stage in self.stages]
        if order != sorted(set(order)):
            raise ValueError("stages: each once, in the order shadow, canary, ab")
        if self.stages in ((), ("shadow",)):
            raise ValueError("stages: only users decide, and a shadow has none", "add canary or ab")
        if list(self.steps) != sorted(set(self.steps)) or not all(0 < step < 100 for step in self.steps):
            raise ValueError("steps: per cents between 0 and 100, each above the one before")
        return self


class RetrainSection(Section):
    """Training again when it pays, and letting the new version win its place."""

    triggers: TriggersSection = TriggersSection()
    """What starts one. Without any: the live version is evaluated again every 90 days, and retrained when worse."""

    cooldown_days: float = Field(7.0, ge=0, le=MAX_DAYS)
    """Days between the end of one and the start of the next."""

    max_usd: float | None = Field(None, gt=0)
    """What one may cost; the recipe's own budget if left out."""

    quiet_hours: tuple[QuietHours, ...] = ()
    """Times of day, in UTC, in which none starts: `08:00-18:00`, or `22:00-06:00` over midnight."""

    max_share_tenant: float = Field(0.5, gt=0, le=1)
    """Share of what clients' feedback adds that one tenant may have said, where several have said something."""

    min_score: float = Field(1.0, ge=0, le=1)
    """Thumb or score from which an answer in traffic counts as an example to learn from."""

    max_share_new: float = Field(0.5, gt=0, le=1)
    """Share of the new dataset that may come from traffic."""

    test_share: float = Field(0.2, gt=0, lt=1)
    """Share of what is new that is held out, never trained on, and judges champion and challenger."""

    label_queue: int = Field(50, ge=0, le=1_000_000)
    """Examples near the drifted region that are put before people in `tunesmith review`."""

    gates: GatesSection = GatesSection()
    """What the new version must show before it meets users."""

    release: ReleaseSection = ReleaseSection()
    """How it meets them."""
