"""What a golden set begins with, and what is added to it: test rows, corrections, rows that people have labelled."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import EvaluationError
from tunesmith.monitor.corrections import corrected
from tunesmith.monitor.golden.row import GoldenRow, prompt_hash
from tunesmith.monitor.golden.shelf import Shelf
from tunesmith.monitor.traffic.redact import is_cut, redact
from tunesmith.review.reviews import Reviews

if TYPE_CHECKING:
    from tunesmith.data.dataset import Dataset
    from tunesmith.data.example import Example
    from tunesmith.recipe.data import DataSection
    from tunesmith.registry.version import Version
    from tunesmith.store.database import Database
    from tunesmith.store.home import Home


def base_rows(shelf: Shelf, version: Version, home: Home, limit: int) -> list[GoldenRow]:
    """The version's own test rows, at most `limit`, drawn by its split's seed; copied beside the artefacts the first
    time, so that they are there when the dataset version is not. Raises EvaluationError, StoreError."""
    from tunesmith.evaluate.evaluate import choose_rows

    if version.dataset_version is None:
        return []
    kept = shelf.base(version.dataset_version)
    if kept is None:
        dataset = dataset_of(version, home)
        if dataset is None:
            raise EvaluationError(
                f"the dataset version {version.dataset_version} of {version.reference} is not here",
                where=str(home.datasets),
                fix="evaluate once where it was trained, or bring that folder here: then its test rows are kept",
            )
        seed = int(dataset.manifest["split_seed"])
        chosen = choose_rows(list(dataset.examples("test")), limit, seed)
        kept = [golden_row(one, "test", version.created_at, f"dataset {version.dataset_version}") for one in chosen]
        shelf.keep_base(version.dataset_version, kept)
    return kept


def add_corrections(
    shelf: Shelf, database: Database, home: Home, system: str | None, redacted: bool, since: datetime | None
) -> list[GoldenRow]:
    """Keep what clients and raters said after a moment of how answers should have been; returns what is new.

    A conversation without a system message gets the training data's, as the endpoint gives it one.
    """
    said = [
        ([dict(message) for message in one.messages], one.wanted, one.at, f"request {one.request}")
        for one in corrected(database, home, shelf.name, since)
    ] + [
        ([dict(message) for message in one.messages], one.answer, one.at, f"review {one.item}")
        for one in Reviews(database).corrections(shelf.name, since)
    ]
    rows = []
    for messages, answer, at, origin in said:
        if not answer.strip() or not all(_plain(message) for message in messages):
            continue
        if any(is_cut(message["content"]) for message in messages):
            continue  # the log has only the beginning of it
        if redacted:
            # Those of reviews need not come from the log.
            answer = redact(answer)
            messages = [{**message, "content": redact(message["content"])} for message in messages]
        if system is not None and not any(message["role"] == "system" for message in messages):
            messages = [{"role": "system", "content": system}, *messages]
        turns = (*messages, {"role": "assistant", "content": answer})
        rows.append(GoldenRow("correction", turns, at, origin))
    return shelf.add(rows)


def add_file(shelf: Shelf, path: Path, data: DataSection, now: datetime) -> list[GoldenRow]:
    """Keep rows that people have labelled, from a file that is read as a recipe's `data` says; returns what is new.

    Raises DataError when the file cannot be read or a row is no conversation.
    """
    from tunesmith.data.example import BadRow
    from tunesmith.data.read import read_examples
    from tunesmith.errors import DataError

    file = type(data).model_validate({"train": str(path.resolve())})
    section = file.model_copy(update={"format": data.format, "system": data.system})
    rows = []
    for one in read_examples(section, path.resolve().parent, "train"):
        if isinstance(one, BadRow):
            raise DataError(one.what, where=str(one.origin), fix=one.fix)
        rows.append(golden_row(one, "labelled", now, str(one.origin)))
    return shelf.add(rows)


def rows_to_evaluate(
    shelf: Shelf, version: Version, home: Home, limit: int, always: Iterable[str] = ()
) -> list[GoldenRow]:
    """The set as it is now, for one version: its own test rows, and of what was added the newest `limit` of each kind,
    besides rows whose ids are in `always`.

    Of rows that ask the same the newest counts. Rows that the version was trained on are left out; where its dataset
    version is not here, so are all that are older than the version.
    """
    base = base_rows(shelf, version, home, limit)
    newest = {row.prompt: row for row in shelf.added()}
    known = {row.prompt for row in base}
    trained = _trained_on(version, home)
    fresh = [
        row
        for row in newest.values()
        if row.prompt not in known
        and (row.prompt not in trained if trained is not None else row.added >= version.created_at)
    ]
    wanted = set(always)
    chosen = []
    for kind in ("labelled", "correction"):
        of_kind = [row for row in fresh if row.kind == kind]
        late = {row.id for row in of_kind[-limit:]} | {row.id for row in of_kind[:limit] if row.id in wanted}
        chosen += [row for row in of_kind if row.id in late]
    return base + chosen


def dataset_of(version: Version, home: Home) -> Dataset | None:
    """The dataset version that a version was trained on, if it is here."""
    from tunesmith.data.dataset import MANIFEST, open_dataset

    folder = home.datasets / str(version.dataset_version)
    return open_dataset(folder) if version.dataset_version and (folder / MANIFEST).is_file() else None


def golden_row(example: Example, kind: Any, added: datetime, origin: str) -> GoldenRow:
    """A row up to its last answer, without weights of the loss."""
    last = max(number for number, one in enumerate(example.messages) if one["role"] == "assistant")
    messages: tuple[dict[str, Any], ...] = tuple(
        {key: value for key, value in one.items() if key != "weight"} for one in example.messages[: last + 1]
    )
    return GoldenRow(kind, messages, added, origin, tuple(example.tools or ()))


def _trained_on(version: Version, home: Home) -> set[str] | None:
    dataset = dataset_of(version, home)
    if dataset is None:
        return None
    return {prompt_hash(list(one.messages)) for one in dataset.examples("train")}


def _plain(message: object) -> bool:
    """A turn of text: what else was sent is not evaluated."""
    return (
        isinstance(message, dict)
        and message.get("role") in ("system", "user", "assistant")
        and isinstance(message.get("content"), str)
    )
