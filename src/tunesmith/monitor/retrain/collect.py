"""The first steps: gather the rows, write the recipe that is trained, put examples before people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from tunesmith.data.dataset import MANIFEST, Dataset, open_dataset
from tunesmith.data.example import Example, Message
from tunesmith.monitor.retrain import copies
from tunesmith.monitor.retrain.dataset import NEW_TRAIN, OLD, PARTS, assemble
from tunesmith.monitor.retrain.derive import RECIPE, write_recipe
from tunesmith.monitor.retrain.queue import queue
from tunesmith.monitor.retrain.said import Candidate, said_in_reviews, said_in_traffic
from tunesmith.monitor.retrain.settle import settle
from tunesmith.monitor.retrain.work import Result, Work
from tunesmith.recipe.load import load_recipe
from tunesmith.recipe.monitor import MonitorSection
from tunesmith.recipe.retrain import RetrainSection
from tunesmith.registry.version import Version
from tunesmith.store.database import Database
from tunesmith.store.home import Home


def gather(
    home: Home,
    database: Database,
    name: str,
    since: datetime,
    until: datetime,
    section: RetrainSection,
    redacted: bool = True,
) -> list[Candidate]:
    """Everything that may be learned from: corrections of raters and clients, answers that were rated well.

    `redacted` as the traffic log is: what people type may hold personal data as well as what they ask.
    """
    from tunesmith.review.reviews import Reviews

    reviewed = [one for one in Reviews(database).corrections(name, since) if one.at <= until]
    found = said_in_reviews(reviewed) + said_in_traffic(home, database, name, since, until, section.min_score)
    return [_redacted(one) for one in found] if redacted else found


def collect(work: Work) -> Result:
    """Write the rows and the recipe. Done again, it gives the same: all that was said until the retrain began."""
    since, until = datetime.fromisoformat(str(work.retrain.state["since"])), work.retrain.started_at
    redacted = (work.given.recipe.monitor or MonitorSection()).traffic.redact
    found = gather(work.home, work.database, work.name, since, until, work.section, redacted)
    settled = settle(found, work.section.max_share_tenant)
    champion = work.champion
    dataset, where = _dataset_of(champion, work)
    old: dict[str, Sequence[Example]] = {part: list(dataset.examples(part)) for part in PARTS}
    data = work.given.recipe.data
    rows = assemble(old, settled, data.audit, work.section.max_share_new, work.section.test_share)
    rows.write(work.folder)
    labelled = any("label" in row for row in rows.files[OLD["train"]])
    recipe = write_recipe(work.given, work.folder, labelled)
    evidence: dict[str, Any] = {
        "since": since.isoformat(), "until": until.isoformat(), "rows": rows.counts, "left_out": rows.left_out,
        "old_dataset": dataset.version, "old_from": where, "recipe": str(recipe),
    }  # fmt: skip
    told = ", ".join(f"{count:,} {name}" for name, count in rows.counts.items() if count)
    if not rows.files[NEW_TRAIN]:
        return Result.stop(f"there is nothing new to learn from: {told}", evidence)
    changes = {"disputed": [[one.of, *_asked(one)] for one in settled.disputed[: work.section.label_queue]]}
    return Result("done", f"rows: {told}", evidence, changes=changes)


def label(work: Work) -> Result:
    """Put requests from the drifted region, and questions that tenants dispute, before raters."""
    added, why = queue(work.home, work.database, work.name, work.section.label_queue, work.retrain)
    return Result("done", f"{added} question(s) queued for people in `tunesmith review`: {why}", {"queued": added})


def _redacted(one: Candidate) -> Candidate:
    """Questions too: those of reviews need not come from the log."""
    from tunesmith.monitor.traffic.redact import redact

    turns = tuple(Message(role=turn["role"], content=redact(turn["content"] or "")) for turn in one.messages)
    return replace(one, messages=turns, answer=redact(one.answer))


def _asked(one: Candidate) -> list[Any]:
    return [list(one.messages), one.answer]


def _dataset_of(champion: Version, work: Work) -> tuple[Dataset, str]:
    """The dataset version that the champion was trained on; where it is not here, the rows of the retrain that made it
    prepared again, or else the recipe's own.

    Raises DataError where those cannot be read either.
    """
    if champion.dataset_version is not None:
        folder = work.home.datasets / champion.dataset_version
        if (folder / MANIFEST).is_file():
            return open_dataset(folder), "the champion's dataset version"
    from tunesmith.train.ingredients import ingredients
    from tunesmith.train.run import prepare_rows

    made = [one for one in work.journal.every(work.name) if one.state.get("version") == champion.reference]
    missing = f"the dataset version of {champion.reference} is not on this machine"
    for one in reversed(made):
        copies.fetch(work.home, work.name, one.number)
        path = copies.folder_of(work.home, work.name, one.number) / RECIPE
        if path.is_file():
            work.say(f"{missing}: the rows of {one.reference} are read again")
            dataset = prepare_rows(ingredients(load_recipe(path), work.home), work.home, work.console)
            return dataset, f"the rows of {one.reference}, prepared again"
    work.say(f"{missing}: the recipe's rows are read again")
    dataset = prepare_rows(ingredients(work.given, work.home), work.home, work.console)
    return dataset, "the recipe's rows, prepared again: the champion's dataset version is not on this machine"
