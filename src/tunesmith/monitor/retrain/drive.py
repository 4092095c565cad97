"""The driver: begins a retrain when it is time, and takes the one in flight from step to step, whoever began it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from tunesmith.errors import DataError, EvaluationError, ModelError, PlanError, StoreError, TrainError
from tunesmith.experiment.book import Book, rolled_back
from tunesmith.monitor.retrain import copies, train_steps
from tunesmith.monitor.retrain.collect import collect, gather, label
from tunesmith.monitor.retrain.decide import Ruling, rule
from tunesmith.monitor.retrain.gates import GATES
from tunesmith.monitor.retrain.gates.before import AUDIT, BUDGET
from tunesmith.monitor.retrain.gates.people import PEOPLE
from tunesmith.monitor.retrain.journal import Journal, Retrain, Step, Taken
from tunesmith.monitor.retrain.parity import wait_for_parity
from tunesmith.monitor.retrain.people import ask_people
from tunesmith.monitor.retrain.release import experiment_of, release
from tunesmith.monitor.retrain.settle import settle
from tunesmith.monitor.retrain.situation import GOLDEN, Situation, learned_until, situation
from tunesmith.monitor.retrain.work import FINISH, WHO, Result, Waiting, Work, champion_to_beat, pin_champion
from tunesmith.recipe.load import LoadedRecipe
from tunesmith.recipe.retrain import RetrainSection
from tunesmith.registry.registry import Registry
from tunesmith.store.database import Database
from tunesmith.store.home import Home

if TYPE_CHECKING:
    from rich.console import Console

    from tunesmith.registry.version import Version

BEAT_SECONDS = 15.0

STEPS: Mapping[str, Callable[[Work], Result | Waiting]] = {
    "collect": collect,
    "label": label,
    AUDIT: train_steps.audit,
    BUDGET: train_steps.budget,
    "train": train_steps.train,
    "evaluate": train_steps.evaluate,
    "answer": train_steps.ask,
    **{name: train_steps.gate(name) for name in GATES},
    PEOPLE: ask_people,
    "register": train_steps.register,
    "parity": wait_for_parity,
    "release": release,
}
"""Step -> what does it, in their order. Each may be done again: what it has made before, it finds."""

WRITE = ("collect", "answer")
"""Steps whose files are copied before they count as done. No other copies: its driver may not have read the newest."""

HOPELESS = (DataError, ModelError, EvaluationError, PlanError)
"""Mistakes that trying again does not mend: they end the retrain, and the champion stays."""


def look_around(
    home: Home, database: Database, journal: Journal, champion: Version, section: RetrainSection, now: datetime
) -> Situation:
    """The situation of a name, as the triggers see it."""
    from tunesmith.monitor.findings import Finding, Findings

    known = Findings(database)

    def found(since: datetime) -> list[Finding]:
        # Of the very many that did not fire only the last evaluation on the golden set says anything.
        fired, golden = known.since(champion.name, since, fired=True), known.last(champion.name, GOLDEN)
        quiet = [golden] if golden is not None and golden.at > since and not golden.fired else []
        return sorted([*fired, *quiet], key=lambda one: one.at)

    def count(since: datetime) -> int:
        words = gather(home, database, champion.name, since, now, section)
        return len(settle(words, section.max_share_tenant).kept)

    return situation(journal, champion, found, count, now)


def decide(
    home: Home, database: Database, registry: Registry, journal: Journal, loaded: LoadedRecipe, now: datetime,
    wish: str | None = None,
) -> tuple[Ruling, Situation]:  # fmt: skip
    """Whether it is time, and why; nothing is changed. Raises RegistryError where there is no live version."""
    section = loaded.recipe.retrain or RetrainSection()
    champion = champion_to_beat(registry, loaded.recipe.name)
    around = look_around(home, database, journal, champion, section, now)
    return rule(section, around, wish), around


def begin(journal: Journal, registry: Registry, loaded: LoadedRecipe, ruling: Ruling, around: Situation) -> Retrain:
    """Begin what was decided on. Raises Taken where another driver was quicker."""
    section = loaded.recipe.retrain or RetrainSection()
    champion = registry.resolve(around.champion)
    pin_champion(registry, champion)
    state = {
        "next": next(iter(STEPS)),
        "why": ruling.reason,
        "champion": champion.reference,
        "since": learned_until(journal.every(champion.name), champion).isoformat(),
        "section": section.model_dump(mode="json"),
        "recipe": str(loaded.path),
    }
    return journal.begin(loaded.recipe.name, state, ruling.step(around))


def drive(work: Work, wait: Callable[[str], bool]) -> Retrain:
    """Take it to its end, or until `wait`, told what is waited for, says that nobody waits.

    Raises Taken where another driver has it, and TrainError or StoreError for what may be mended: the retrain stays at
    the step it was at.
    """
    work.retrain = work.journal.claim(work.retrain)
    try:
        with _alive(work) as lost:
            while work.retrain.running:
                if lost.is_set():
                    raise Taken(f"another driver has taken over {work.retrain.reference}", where=work.name)
                result = _step(work)
                if isinstance(result, Result):
                    work.retrain = _recorded(work, result)
                elif not wait(result.reason):
                    break
    finally:
        if work.retrain.running:
            with suppress(StoreError):  # who cannot say so is found out by having fallen silent
                work.journal.release(work.retrain)
    return work.retrain


def end(home: Home, database: Database, journal: Journal, retrain: Retrain, console: Console) -> Retrain:
    """Take one that somebody wants to end to its end. Raises Taken where a driver lives: that one does it."""
    registry = Registry.open(home)
    try:
        return drive(Work(home, database, registry, journal, console, retrain, None), lambda reason: False)
    finally:
        registry.close()


def _step(work: Work) -> Result | Waiting:
    fresh = work.journal.find(work.name, work.retrain.number)
    if fresh.next == FINISH:
        return _finished(work)
    if (wish := fresh.state.get("stop")) is not None and (result := _stopped(work, wish)) is not None:
        return result
    if work.begun != fresh.next:
        work.say(f"{work.retrain.reference}: {fresh.next}")
        work.begun = fresh.next
    try:
        return STEPS[fresh.next](work)
    except HOPELESS as error:
        if fresh.next == "release":
            raise  # an experiment may run: it is not left alone
        return Result.stop(f"{fresh.next}: {error.what}", {"where": error.where, "fix": error.fix})
    except TrainError as error:
        if error.where == "budget":
            return Result.stop(f"{fresh.next}: {error.what}", {"where": error.where, "fix": error.fix})
        raise


def _recorded(work: Work, result: Result) -> Retrain:
    before = work.retrain
    name = result.name or before.next
    step = Step(name, work.now(), result.verdict, result.reason, result.evidence)
    following = result.following or _after(before.next)
    if before.next in WRITE:
        copies.keep(work.home, before.name, before.number)
    return work.journal.record(before, [step], {**result.changes, "next": following})


def _after(step: str) -> str:
    order = [*STEPS, FINISH]
    return order[order.index(step) + 1]


def _finished(work: Work) -> Result:
    """The end: what it came to, in a word and a sentence."""
    outcome, because = str(work.retrain.state["outcome"]), str(work.retrain.state["because"])
    live = work.champion_now()
    return Result("done", f"{outcome}: {because}", {"champion": live}, FINISH, {"end": outcome, "champion_after": live})


def _stopped(work: Work, wish: Mapping[str, str]) -> Result | None:
    """Somebody wants it to end: its experiment is rolled back, nothing it made is served. None where its experiment had
    ended by then: what that decided holds."""
    reason = f"{wish['who']} stopped it: {wish['why']}"
    book = Book(work.database, work.now)
    if (mine := experiment_of(work, book)) is not None:
        if work.retrain.state.get("experiment") is None:
            return None  # it is first written down that there is one
        if book.change(mine.id, partial(rolled_back, reason=reason), WHO, "rollback", reason).reason != reason:
            return None
    return Result.stop(reason, verdict="skip")


@contextmanager
def _alive(work: Work) -> Iterator[threading.Event]:
    """Signs of life while the block runs; the event is set where another driver has taken over."""
    over, lost = threading.Event(), threading.Event()
    retrain = work.retrain

    def beat() -> None:
        while not over.wait(BEAT_SECONDS):
            try:
                if not work.journal.beat(retrain):
                    lost.set()
                    return
            except StoreError:
                continue  # the next sign may get through; the lease lasts for several

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        over.set()
        thread.join()
