"""What a test does when a service it starts for real (PostgreSQL, an S3 server, a browser) is not on this machine."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

REQUIRE = "TUNESMITH_REQUIRE_SERVICES"
"""Set to 1, a missing service fails its tests instead of skipping them. `.ci/run` does: skipping must not pass CI."""


def missing(reason: str) -> NoReturn:
    """Skip the running test or fixture, or fail it where TUNESMITH_REQUIRE_SERVICES=1.

    `reason` says what is missing and how to get it: `"PostgreSQL is not installed (apt-get install postgresql)"`.
    """
    if os.environ.get(REQUIRE, "") not in ("", "0"):
        pytest.fail(f"{reason}, and {REQUIRE} is set", pytrace=False)
    pytest.skip(reason)
