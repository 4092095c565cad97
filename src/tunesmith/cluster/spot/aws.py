"""AWS: spot/instance-action of the instance metadata service, version 2, and the earlier rebalance recommendation.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
"""

from __future__ import annotations

import json
from datetime import datetime

from tunesmith.cluster.spot.metadata import ask
from tunesmith.cluster.spot.notice import Notice, Unreachable, seconds_left

ADDRESS = "http://169.254.169.254"
TOKEN_SECONDS = 21600
SECONDS = 2.0
"""Until an answer is given up: it comes from the machine itself."""

WARNED_SECONDS = 120.0
"""What is left at least after a recommendation: the two minutes of the notice that may follow it."""


class Aws:
    """The service of one machine; keeps the session's token."""

    def __init__(self, address: str | None = None) -> None:
        self.address = address or ADDRESS
        self._token: str | None = None
        self._until = 0.0

    def look(self, now: float) -> Notice | None:
        """An interruption that is announced, else a recommendation to move. Raises Unreachable."""
        action = self._get("spot/instance-action", now)
        if action is not None:
            try:
                values = json.loads(action)
                at = datetime.fromisoformat(str(values["time"])).timestamp()
                what = str(values["action"])
            except (ValueError, KeyError, TypeError):
                raise Unreachable(f"spot/instance-action says {action[:80]!r}, which is not understood") from None
            return Notice(f"AWS will {what} this spot instance", seconds_left(at, now))
        if self._get("events/recommendations/rebalance", now) is not None:
            return Notice("AWS sees a higher risk of interruption (rebalance recommendation)", WARNED_SECONDS, False)
        return None

    def _get(self, path: str, now: float) -> str | None:
        if self._token is None or now >= self._until:
            self._token = self._new_token()
            self._until = now + TOKEN_SECONDS / 2
        headers = {"X-aws-ec2-metadata-token": self._token}
        try:
            return ask(f"{self.address}/latest/meta-data/{path}", headers, SECONDS)
        except Unreachable:
            self._token = None  # it may be the token that is no longer good
            raise

    def _new_token(self) -> str:
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
        token = ask(f"{self.address}/latest/api/token", headers, SECONDS, method="PUT", absent=())
        if not token or not token.isascii() or not token.isprintable():
            raise Unreachable("the metadata service gives no token")
        return token
