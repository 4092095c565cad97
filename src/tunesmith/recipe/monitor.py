"""The `monitor` section: what is written down of traffic, and when it counts as changed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tunesmith.recipe.section import Section

MAX_DAYS = 36_500
"""A hundred years: spans of time end there, before calendars do."""


class TrafficSection(Section):
    """The traffic log: requests and answers as text, in Parquet files by hour beside the versions' files."""

    rate: float = Field(1.0, ge=0, le=1)
    """Share of requests that are written down, chosen at random; never one with the header `X-Tunesmith-No-Log: 1`."""

    redact: bool = True
    """Replace e-mail addresses, telephone numbers, card numbers, secrets and the like before anything is written."""

    retention_days: int = Field(30, ge=1, le=MAX_DAYS)
    """Files older than this are deleted."""

    max_pending_mib: float = Field(64.0, gt=0, le=1_048_576)
    """What waits in memory while storage is slow or gone, in MiB; what comes after is counted and lost."""


class DriftSection(Section):
    """When what is asked is no longer what was trained on."""

    window: int = Field(250, ge=50, le=1_000_000)
    """Requests that are compared with the training data at a time."""

    windows_in_row: int = Field(2, ge=1, le=1000)
    """Windows that must differ one after the other, in the same way, before there is an alarm."""

    false_alarms: float = Field(0.05, gt=0, lt=0.5)
    """Chance of a false alarm within 30 windows of traffic that did not change; thresholds follow from it."""

    embedding: Literal["ngrams", "none"] = "ngrams"
    """How texts are compared in all dimensions at once: as hashed words and character n-grams, or not at all."""


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

    golden_every_days: float = Field(7.0, gt=0, le=MAX_DAYS)
    """How often the live version is evaluated again on the golden set."""

    golden_margin: float = Field(0.1, ge=0)
    """Loss on the golden set may rise above that on the day of release by this, in nats per token."""

    golden_rows: int = Field(200, ge=20, le=1_000_000)
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

    every_minutes: float = Field(15.0, gt=0, le=60 * 24 * MAX_DAYS)
    """How often `tunesmith monitor watch` looks."""
