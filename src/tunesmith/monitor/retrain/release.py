"""The version meets users: shadow, canary, A/B by an experiment, whose decision promotes it or takes it back.

Gateways read the experiment, and judge it too. What is done here is done once, whoever does it: a promotion moves the
alias, and moving it again changes nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import func, select

from tunesmith.errors import StoreError
from tunesmith.experiment.book import Book, rolled_back
from tunesmith.experiment.evidence import SHADOW
from tunesmith.experiment.experiment import CONTROL, Experiment, Goal, Stage, Variant
from tunesmith.experiment.promote import move_champion
from tunesmith.experiment.referee import referee, stand
from tunesmith.monitor.retrain.work import FINISH, WHO, Result, Waiting, Work
from tunesmith.store.database import Database
from tunesmith.store.tables import requests

CHALLENGER = "challenger"


def release(work: Work) -> Result | Waiting:
    """Begin the experiment, or take it a stage further, or read how it has ended."""
    book = Book(work.database, work.now)
    if (known := work.retrain.state.get("experiment")) is None:
        return _begin(work, book)
    experiment = book.find(str(known))
    if experiment.running and experiment.stage == work.retrain.state["stage"]:
        experiment = _judged(work, book, experiment)
    if not experiment.running:
        return _ended(work, book, experiment)
    if experiment.stage != work.retrain.state["stage"]:
        reason = f"{experiment.id} goes on in stage {experiment.stage}"
        changes = {"stage": experiment.stage}
        return Result("done", reason, _course(work, experiment), "release", changes, name=experiment.stage)
    return Waiting(_waiting_for(work, experiment))


def _begin(work: Work, book: Book) -> Result | Waiting:
    version, champion = work.version(str(work.retrain.state["version"])), str(work.retrain.state["champion"])
    if version.verdict != "passed" or work.retrain.state.get("failed"):
        return Result.stop(f"{version.reference} has not passed every gate, and meets nobody")
    if (now := work.champion_now()) not in (champion, version.reference):
        return Result.stop(f"the champion was {champion} when this began, and somebody has made it {now}")
    mine = experiment_of(work, book)
    if mine is None and now == version.reference:
        return Result.stop(f"somebody has made {version.reference} the champion without an experiment", verdict="skip")
    if mine is None:
        other = next((one for one in book.running() if one.name == work.name), None)
        if other is not None:
            return Waiting(f"{other.id} runs on {work.name}, and a name has one experiment at a time")
        try:
            mine = _start(work, book, version.reference, champion)
        except StoreError as error:
            return Waiting(f"the experiment cannot begin: {error.what}")
    changes = {"experiment": mine.id, "stage": mine.stage}
    reason = f"{mine.id}: {version.reference} beside {champion}, in stage {mine.stage}"
    return Result("done", reason, _course(work, mine), "release", changes, name=mine.stage)


def _start(work: Work, book: Book, version: str, champion: str) -> Experiment:
    section = work.section.release
    return book.start(
        work.name,
        {CONTROL: Variant(version=champion), CHALLENGER: Variant(version=version)},
        section.stages[0],
        WHO,
        f"{work.retrain.reference}: passed every gate",
        steps=section.steps,
        step_hours=section.step_hours,
        goals=(Goal(name=section.goal),),
        json_schema=work.own.recipe.evaluate.json_schema,
        planned_users=section.planned_users,
        minimum_users=min(100, section.planned_users // 2),
        decides_itself=True,
    )


def experiment_of(work: Work, book: Book) -> Experiment | None:
    """The experiment of this retrain, also one that a driver began and died before it could write that down."""
    state = work.retrain.state
    if state.get("experiment") is not None:
        return book.find(str(state["experiment"]))
    version, champion = state.get("version"), state["champion"]
    for experiment, began, _ in book.every():
        treats = experiment.variants.get(CHALLENGER)
        same = experiment.name == work.name and treats is not None and treats.version == version is not None
        if same and experiment.variants[CONTROL].version == champion and began >= work.retrain.started_at:
            return experiment
    return None


def _judged(work: Work, book: Book, experiment: Experiment) -> Experiment:
    """The experiment after all that follows from what it shows."""
    control, treats = experiment.variants[CONTROL].version, experiment.variants[CHALLENGER].version
    if (now := work.champion_now()) not in (control, treats):
        reason = f"somebody has made {now} the champion meanwhile"
        return book.change(experiment.id, partial(rolled_back, reason=reason), WHO, "rollback", reason)

    def promote(one: Experiment, variant: str, reason: str) -> None:
        move_champion(work.registry, one, variant, WHO, reason)

    experiment = referee(work.database, experiment, promote, work.now)
    if not experiment.running:
        return experiment
    began = datetime.fromisoformat(book.history(experiment.id)[0]["at"])
    if work.now() - began > timedelta(days=work.section.release.max_days):
        reason = f"nothing was decided within {work.section.release.max_days:g} days: the champion stays"
        return book.change(experiment.id, partial(rolled_back, reason=reason), WHO, "rollback", reason)
    return _out_of_shadow(work, book, experiment)


def _out_of_shadow(work: Work, book: Book, experiment: Experiment) -> Experiment:
    section = work.section.release
    seen = _shadowed(work.database, experiment.id)
    if experiment.stage != "shadow" or seen < section.shadow_requests:
        return experiment
    following: Stage = section.stages[1]
    share = experiment.steps[0] if following == "canary" else 50.0

    def further(one: Experiment) -> Experiment | None:
        return one.with_share(share, following) if one.stage == "shadow" else None

    return book.change(experiment.id, further, WHO, "step", f"{seen:,} requests in the shadow, and no rule broken")


def _ended(work: Work, book: Book, experiment: Experiment) -> Result:
    verdict, reason = experiment.verdict or "ended", experiment.reason or "no reason was given"
    won = verdict == f"promoted {CHALLENGER}"
    if won and work.champion_now() != experiment.variants[CHALLENGER].version:
        # The alias moves before the experiment ends: since then somebody has moved it on.
        reason += f"; since then the champion was made {work.champion_now()}"
    outcome = {"outcome": "promoted" if won else "kept", "because": f"{experiment.id}: {verdict}: {reason}"}
    told = "promote" if won else "rollback"
    course = {**_course(work, experiment), "changes": book.history(experiment.id)}
    return Result("pass" if won else "fail", outcome["because"], course, FINISH, outcome, name=told)


def _course(work: Work, experiment: Experiment) -> dict[str, Any]:
    """How it stands, for the trail."""
    standing = stand(work.database, experiment)
    return {
        "experiment": experiment.id, "stage": experiment.stage, "weights": experiment.weights,
        "shadow_requests": _shadowed(work.database, experiment.id),
        "users": {key: dict(value) for key, value in standing.evidence.users.items()},
        "decisions": {name: one.to_json() for name, one in standing.decisions.items()},
        "rules": {name: [ruling.reason for ruling in found] for name, found in standing.rulings.items()},
    }  # fmt: skip


def _waiting_for(work: Work, experiment: Experiment) -> str:
    if experiment.stage == "shadow":
        seen, needed = _shadowed(work.database, experiment.id), work.section.release.shadow_requests
        return f"{experiment.id}: {seen:,} of {needed:,} requests in the shadow"
    decision = stand(work.database, experiment).decisions[CHALLENGER]
    share = 100 - experiment.weights[CONTROL]
    return f"{experiment.id}: {experiment.stage} at {share:g} %, {decision.verdict}: {decision.reason}"


def _shadowed(database: Database, experiment: str) -> int:
    seen = select(func.count()).where(
        requests.c.experiment == experiment, requests.c.role == SHADOW, requests.c.variant == CHALLENGER
    )
    with database.reading() as connection:
        return int(connection.execute(seen).scalar_one())
