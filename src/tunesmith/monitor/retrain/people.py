"""The step that asks people, where the recipe wants that: pairs are put before raters, waited for, and decided on."""

from __future__ import annotations

from datetime import datetime, timedelta

from tunesmith.monitor.retrain.called import source_of
from tunesmith.monitor.retrain.contest import held_out
from tunesmith.monitor.retrain.gates.people import LEAST, PEOPLE, not_worse, too_alike
from tunesmith.monitor.retrain.train_steps import answers_of, gated
from tunesmith.monitor.retrain.work import Result, Waiting, Work
from tunesmith.recipe.retrain import PeopleGate

PUT = "pairs"
"""The step that is written down when pairs were put before raters."""

SINCE = "people_asked"


def ask_people(work: Work) -> Result | Waiting:
    """Put pairs before raters; wait for them; decide. Nobody's time is taken for what has failed already."""
    asked = work.section.gates.people
    if asked is None:
        return Result("skip", "the recipe asks nobody: it has no retrain.gates.people")
    if work.retrain.state.get(SINCE) is not None:
        return _decide(work, asked)
    if failed := work.retrain.state.get("failed"):
        return Result("skip", f"nobody is asked about what has failed already: {', '.join(failed)}")
    return _put(work, asked)


def _put(work: Work, asked: PeopleGate) -> Result:
    from tunesmith.monitor.retrain.pairs import pairs_of
    from tunesmith.review.reviews import Reviews

    champion, challenger = _sources(work)
    examples = held_out(work.planned, work.folder)
    found = pairs_of(work.name, answers_of(work), examples, (champion, challenger), asked.pairs)
    if len(found.items) < LEAST:
        return gated(work, too_alike(len(found.items), found.differing, found.rows, asked), fatal=False)
    reviews = Reviews(work.database, work.now)
    reviews.add(found.items)
    evidence = {
        "pairs": len(found.items), "rows": found.rows, "differing": found.differing,
        "raters": reviews.rubric(work.name).raters, "sources": {"champion": champion, "challenger": challenger},
    }  # fmt: skip
    told = f"{len(found.items)} pairs are put before raters, of {found.differing} rows on which the answers differ"
    work.say(f"{told}: `tunesmith review serve` shows them")
    return Result("done", told, evidence, PEOPLE, {SINCE: work.now().isoformat()}, name=PUT)


def _decide(work: Work, asked: PeopleGate) -> Result | Waiting:
    from tunesmith.review.judged import judge
    from tunesmith.review.reviews import Reviews

    reviews, (champion, challenger) = Reviews(work.database, work.now), _sources(work)
    progress = reviews.judged(work.name, (champion, challenger))
    until = datetime.fromisoformat(str(work.retrain.state[SINCE])) + timedelta(days=asked.max_days)
    if progress.done < progress.total and work.now() < until:
        raters = reviews.rubric(work.name).raters
        return Waiting(
            f"people: {progress.done} of {progress.total} pairs are judged by {raters} rater(s), until "
            f"{until:%Y-%m-%d %H:%M} UTC; `tunesmith review serve` puts the others before them"
        )
    found = judge(*reviews.all(work.name), challenger, champion)
    return gated(work, not_worse(found, asked, progress), fatal=False)


def _sources(work: Work) -> tuple[str, str]:
    return str(work.retrain.state["champion"]), source_of(work.retrain)
