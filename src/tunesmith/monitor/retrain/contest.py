"""Champion, challenger and base answer the same rows: what the gates of a retrain decide on, made once and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.data.example import BadRow, Example
from tunesmith.data.read import read_examples
from tunesmith.errors import EvaluationError
from tunesmith.evaluate.answers import Contestant, TestRow
from tunesmith.evaluate.contest import Contest, Report
from tunesmith.evaluate.evaluate import choose_rows
from tunesmith.evaluate.json_form import from_json, to_json
from tunesmith.evaluate.prompts import ZERO_SHOT
from tunesmith.monitor.retrain.dataset import NEW_TEST, OLD
from tunesmith.monitor.retrain.general import passages, tasks
from tunesmith.recipe.method import MethodSection
from tunesmith.recipe.sources import FileSource
from tunesmith.registry.version import Version
from tunesmith.store.durable import write_whole
from tunesmith.train.run import Planned

if TYPE_CHECKING:
    from tunesmith.store.home import Home

ANSWERS = "answers.json"
NUM_PASSAGES = 40
CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True)
class Rivals:
    """The same rows, answered by both."""

    rows: tuple[TestRow, ...]
    champion: Contestant | None
    challenger: Contestant | None


@dataclass(frozen=True)
class Losses:
    """Nats and tokens of each text, by the base model and by the challenger."""

    base: tuple[tuple[float, int], ...]
    challenger: tuple[tuple[float, int], ...]


@dataclass(frozen=True)
class Answers:
    """On the new held-out rows, on the old ones, on general text, on small tasks."""

    new: Rivals
    old: Rivals
    text: Losses
    tasks: Losses


@dataclass(frozen=True)
class Kept:
    """Answers, and whose they are: the run that made the challenger; the champion, and the hash of its files."""

    run: str
    champion: str
    champion_files: str
    answers: Answers


def answer(
    planned: Planned, champion: Version, fetch: Callable[[], Path], home: Home, rows: Path, report: Report
) -> Answers:
    """Let all answer, or find what the same two answered before. `fetch` gives the folder of the champion's files,
    `rows` is the folder of the retrain. Raises ModelError, EvaluationError, DataError."""
    before = _kept(rows / ANSWERS)
    whose = planned.run_id, champion.reference, champion.content_hash
    if before is not None and (before.run, before.champion, before.champion_files) == whose:
        return before.answers
    artefact = fetch()
    new, old = held_out(planned, rows)
    both: dict[str, list[Contestant | None]] = {}
    contest = _contest(planned, None, planned.artefact, home, report)
    asked = [contest.test_row(row) for row in new], [contest.test_row(row) for row in old]
    both[CHALLENGER] = [_answered(contest, CHALLENGER, some) for some in (new, old)]
    texts, questions = passages(NUM_PASSAGES), tasks()
    text = Losses(tuple(contest.text_losses("prompt", texts)), tuple(contest.text_losses("tuned", texts)))
    small = Losses(
        tuple(contest.likelihoods("base model: tasks", questions, "prompt")),
        tuple(contest.likelihoods("challenger: tasks", questions)),
    )
    del contest  # one model in memory at a time
    contest = _contest(planned, champion, artefact, home, report)
    both[CHAMPION] = [_answered(contest, CHAMPION, some) for some in (new, old)]
    pairs = zip(asked, both[CHAMPION], both[CHALLENGER], strict=True)
    first, second = (Rivals(tuple(shown), before, after) for shown, before, after in pairs)
    answers = Answers(first, second, text, small)
    write_whole(rows / ANSWERS, to_json(Kept(*whose, answers)))
    return answers


def held_out(planned: Planned, rows: Path) -> tuple[list[Example], list[Example]]:
    """The new rows and the old ones that are answered, always the same. Raises DataError."""
    most, seed = planned.recipe.evaluate.max_test_rows, int(planned.dataset.manifest["split_seed"])
    new, old = (choose_rows(_read(planned, rows, name), most, seed) for name in (NEW_TEST, OLD["test"]))
    return new, old


def _kept(path: Path) -> Kept | None:
    """What was answered before; None where nothing was, or it cannot be read: then all answer again."""
    try:
        found: Kept = from_json(Kept, path.read_bytes(), str(path))
    except (FileNotFoundError, EvaluationError):
        return None
    return found


def _answered(contest: Contest, name: str, rows: Sequence[Example]) -> Contestant | None:
    return contest.answer(name, "tuned", ZERO_SHOT, rows) if rows else None


def _read(planned: Planned, folder: Path, name: str) -> list[Example]:
    """The rows of one file, read as the recipe reads them."""
    if not (folder / name).is_file():
        return []
    data = planned.recipe.data.model_copy(update={"test": (FileSource(path=name),)})
    return [row for row in read_examples(data, folder, "test") if not isinstance(row, BadRow)]


def _contest(planned: Planned, version: Version | None, artefact: Path, home: Home, report: Report) -> Contest:
    """What was trained (no `version`), or a version, ready to answer."""
    from tunesmith.models.load import choose_device, load_base, load_tuned
    from tunesmith.models.quantise import base_folder

    device, folder = choose_device(), Path(planned.job.model_folder)
    adapter = planned.recipe.method.has_adapter if version is None else version.kind == "adapter"
    method = planned.recipe.method if version is None else _method(version)
    base: Any = None
    if adapter:
        beneath = base_folder(folder, planned.recipe.base, method, device, home.models)
        model = load_tuned(beneath, planned.recipe.base, artefact, device)
    else:
        model = load_base(artefact, planned.recipe.base, device)
        base = load_base(folder, planned.recipe.base, device) if version is None else None
    return Contest(model, planned.ingredients.renderer, planned.recipe.evaluate.decoding, report, base)


def _method(version: Version) -> MethodSection:
    return MethodSection.model_validate(version.recipe.get("method") or {})
