"""What a job says, as it says it: through lost links, and through supervisors that die."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from tunesmith.cluster.place import Job, JobStatus, Place
from tunesmith.cluster.ray_place import Unreachable
from tunesmith.cluster.targets import TargetError

FIRST_SECONDS, MOST_SECONDS = 1.0, 15.0
"""Between two looks. The longer a log, the rarer: it comes whole each time."""

BYTES_A_SECOND = 100_000
GIVE_UP_SECONDS = 3600.0
"""How long a cluster may not answer."""

TRIES = 3
"""How often a job is sent again whose supervisor died."""

LOOKS = 30
"""How often we look for what the cluster's keeper sends."""


def follow(
    place: Place,
    id: str,
    attempt: int,
    show: Callable[[str], None],
    say: Callable[[str], None],
    job: Job | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> JobStatus:
    """Show a job's log until it is over. `show` gets the job's own text, `say` what is to be said besides.

    A job whose supervisor or node died under it is sent again, and goes on from its last checkpoint: by us where `job`
    is given, otherwise we wait for the cluster's keeper to do it. Raises TargetError when the cluster does not answer
    for an hour, or does not know the job any more.
    """
    shown, tries, waited, since, pause = 0, 0, 0, None, FIRST_SECONDS
    while True:
        try:
            mine = {one.attempt: one for one in place.jobs() if one.id == id}
            text = place.logs(id, attempt)
        except Unreachable as error:
            now = time.monotonic()
            if since is None:
                say(f"{error.what}; the job goes on without us, trying again")
            since = since or now
            if now - since > GIVE_UP_SECONDS:
                raise
            pause = min(2 * pause, MOST_SECONDS)
            sleep(pause)
            continue
        if since is not None:
            say("connected again")
            since, pause = None, FIRST_SECONDS
        show(text[shown:])
        shown, status = max(shown, len(text)), mine.get(attempt)
        if status is None:
            raise TargetError(
                f"the cluster knows nothing of {id} (any more)",
                where=id,
                fix="give `tunesmith submit` again: it goes on from its last checkpoint",
            )
        if status.state == "lost" and attempt + 1 in mine:
            say(f"the job's supervisor was lost ({status.message}): it was sent again, and goes on")
            attempt, shown, waited = attempt + 1, 0, 0
        elif status.state == "lost" and job is not None and tries < TRIES:
            with suppress(Unreachable):  # the next look says so
                place.send(job, attempt + 1)
                tries, attempt, shown = tries + 1, attempt + 1, 0
                lost = f"the job's supervisor was lost ({status.message})"
                say(f"{lost}: sent again, it goes on from its last checkpoint")
        elif status.state == "lost" and job is None and waited < LOOKS:
            waited += 1
        elif status.is_over:
            return status
        sleep(max(pause, min(MOST_SECONDS, len(text) / BYTES_A_SECOND)))
