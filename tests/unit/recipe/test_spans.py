"""Numbers of `monitor` and `retrain` that no calendar and no memory can hold are refused while the recipe is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from tunesmith.recipe.monitor import MAX_DAYS, MonitorSection
from tunesmith.recipe.retrain import RetrainSection


@pytest.mark.parametrize(
    ("section", "values"),
    [
        (MonitorSection, {"traffic": {"retention_days": 1_000_000}}),
        (MonitorSection, {"traffic": {"max_pending_mib": 1e308}}),
        (MonitorSection, {"quality": {"golden_every_days": 1e10}}),
        (MonitorSection, {"quality": {"golden_rows": 10**30}}),
        (MonitorSection, {"drift": {"window": 10**30}}),
        (MonitorSection, {"drift": {"windows_in_row": 10**30}}),
        (MonitorSection, {"every_minutes": 1e20}),
        (RetrainSection, {"cooldown_days": 1e9}),
        (RetrainSection, {"label_queue": 10**30}),
        (RetrainSection, {"triggers": {"schedule": {"every_days": 1e10}}}),
        (RetrainSection, {"release": {"max_days": 1e10}}),
        (RetrainSection, {"release": {"step_hours": 1e13}}),
        (RetrainSection, {"release": {"planned_users": 10**400}}),
        (RetrainSection, {"release": {"steps": []}}),
    ],
)
def test_a_number_beyond_reason_is_refused(section: Any, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        section.model_validate(values)


def test_the_longest_span_is_a_moment_in_either_direction() -> None:
    now = datetime.now(UTC)
    assert now - timedelta(days=MAX_DAYS) < now < now + timedelta(days=MAX_DAYS)
    assert MonitorSection.model_validate({"traffic": {"retention_days": MAX_DAYS}})
    assert RetrainSection.model_validate({"release": {"step_hours": 24 * MAX_DAYS, "max_days": MAX_DAYS}})
