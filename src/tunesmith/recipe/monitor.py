"""The `monitor` section: what is written down of traffic, and when it counts as changed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tunesmith.recipe.section import Section


class TrafficSection(Section):
    """The traffic log: requests and answers as text, in Parquet files by hour beside the versions' files."""

    rate: float = Field(1.0, ge=0, le=1)
    """Share of requests that are written down, chosen at random; never one with the header `X-Tunesmith-No-Log: 1`."""

    redact: bool = True
    """Replace e-mail addresses, telephone numbers, card numbers, secrets and the like before anything is written."""

    retention_days: int = Field(30, ge=1)
    """Files older than this are deleted."""

    max_pending_mib: float = Field(64.0, gt=0)
    """What waits in memory while storage is slow or gone, in MiB; what comes after is counted and lost."""


class DriftSection(Section):
    """When what is asked is no longer what was trained on."""

    window: int = Field(250, ge=50)
    """Requests that are compared with the training data at a time."""

    windows_in_row: int = Field(2, ge=1)
    """Windows that must differ one after the other before there is an alarm."""

    false_alarms: float = Field(0.05, gt=0, lt=0.5)
    """Chance of a false alarm within 30 windows of traffic that did not change; thresholds follow from it."""

    embedding: Literal["ngrams", "none"] = "ngrams"
    """How texts become points for the comparison of all dimensions at once: hashed character n-grams, or not at all."""


class QualitySection(Section):
    """When answers are no longer as good as on the day of release."""

    delta: float = Field(0.05, gt=0, lt=1)
    """Confidence of ADWIN (Bifet and Gavalda 2007), a bound of the chance that it sees a change where there is none: at
    0.05, one stream in two hundred raises a false alarm within 2,000 values."""

    page_hinkley_threshold: float = Field(50.0, gt=0)
    """How far what answers fall short of their mean by may cumulate before Page-Hinkley says that they got worse, in
    standard deviations."""

    lower_is_better: tuple[str, ...] = ()
    """Metrics of feedback of which less is better: `seconds_to_edit`. Of all others more is."""

    golden_every_days: float = Field(7.0, gt=0)
    """How often the live version is evaluated again on the golden set."""

    golden_margin: float = Field(0.1, ge=0)
    """Loss on the golden set may rise above that on the day of release by this, in nats per token."""

    golden_rows: int = Field(200, ge=20)
    """Rows of the test split that the golden set begins with, and at most so many of each kind that came later: the
    newest."""


class MonitorSection(Section):
    """Watching a served name."""

    traffic: TrafficSection = TrafficSection()
    """What is written down of requests."""

    drift: DriftSection = DriftSection()
    """When inputs count as changed."""

    quality: QualitySection = QualitySection()
    """When answers count as changed."""

    every_minutes: float = Field(15.0, gt=0)
    """How often `tunesmith monitor watch` looks."""


class ScheduleTrigger(Section):
    """So many days after the live version was trained."""

    every_days: float = Field(90.0, gt=0)
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
    """New labelled examples: corrections and well-rated answers that the live version has not seen."""

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


class GatesSection(Section):
    """What a retrained version must show besides the recipe's own gate."""

    margin_old: float = Field(0.05, ge=0)
    """How much worse it may be than the champion on the old held-out rows, in the gate's metric."""

    margin_general: float = Field(0.1, ge=0)
    """How much its loss on general text may lie above the base model's, in nats per token."""

    blocked_words: tuple[str, ...] = ()
    """Words that no answer on the held-out rows may hold, where the question does not."""


class ReleaseSection(Section):
    """How a version that passed its gates meets users."""

    stages: tuple[Literal["shadow", "canary", "ab"], ...] = ("shadow", "canary", "ab")
    """Stages it goes through, in this order."""

    shadow_requests: int = Field(200, ge=1)
    """Requests copied to it before it may answer any."""

    steps: tuple[float, ...] = (1.0, 5.0, 25.0, 50.0)
    """Canary steps, in per cent."""

    step_hours: float = Field(24.0, gt=0)
    """Hours of each step."""

    goal: str = Field("thumb", pattern=r"^[a-z][a-z0-9_]{0,39}$")
    """Feedback that decides."""

    planned_users: int = Field(2000, ge=100)
    """Users, of both together, at which to be surest."""

    max_days: float = Field(30.0, gt=0)
    """Days after which an experiment that has decided nothing ends with the champion as it is."""


class RetrainSection(Section):
    """Training again when it pays, and letting the new version win its place."""

    triggers: TriggersSection = TriggersSection()
    """What starts one. Without any: the live version is evaluated again every 90 days, and retrained when worse."""

    cooldown_days: float = Field(7.0, ge=0)
    """Days between the end of one and the start of the next."""

    max_usd: float | None = Field(None, gt=0)
    """What one may cost; the recipe's own budget if left out."""

    quiet_hours: tuple[str, ...] = ()
    """Times of day, in UTC, in which none starts: `08:00-18:00`."""

    min_score: float = Field(1.0, ge=0, le=1)
    """Thumb or score from which an answer in traffic counts as an example to learn from."""

    max_share_new: float = Field(0.5, gt=0, le=1)
    """Share of the new dataset that may come from traffic."""

    test_share: float = Field(0.2, gt=0, lt=1)
    """Share of what is new that is held out, never trained on, and judges champion and challenger."""

    label_queue: int = Field(50, ge=0)
    """Examples near the drifted region that are put before people in `tunesmith review`."""

    gates: GatesSection = GatesSection()
    """What the new version must show before it meets users."""

    release: ReleaseSection = ReleaseSection()
    """How it meets them."""
