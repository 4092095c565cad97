"""Names that clients may give to metrics of their own."""

from __future__ import annotations

import pytest

from tunesmith.serve.feedback import parse_feedback
from tunesmith.serve.problem import Problem


@pytest.mark.parametrize("name", ["thumb", "score", "correction", "invalid", "review_correction"])
def test_a_name_that_is_watched_without_feedback_is_nobodys_own(name: str) -> None:
    with pytest.raises(Problem, match=f"{name} is no name for a metric of one's own"):
        parse_feedback({"id": "0" * 32, "metrics": {name: 1}})


def test_other_names_are_free() -> None:
    assert parse_feedback({"id": "0" * 32, "metrics": {"sold": 1}})[1] == {"sold": (1.0, None)}
    with pytest.raises(Problem, match="lower-case letters"):
        parse_feedback({"id": "0" * 32, "metrics": {"Sold": 1}})
