"""The loss of a registered version on rows, by the trainer's own code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import EvaluationError
from tunesmith.monitor.golden.row import GoldenRow

if TYPE_CHECKING:
    from tunesmith.registry.version import Version
    from tunesmith.store.home import Home

Report = Callable[[str, int, int], None]
"""Told what is being done, how many rows of it are done, and of how many."""


def measure(
    version: Version, rows: Sequence[GoldenRow], home: Home, start: Path, report: Report = lambda what, done, of: None
) -> dict[str, tuple[float, int]]:
    """Row -> nats of its answer and the answer's tokens; rows that the model cannot read are left out.

    `start` is where relative paths of the version's recipe begin. Raises ModelError when the version cannot be loaded,
    EvaluationError when no row can be read.
    """
    from tunesmith.data.render import Renderer
    from tunesmith.data.template import ChatTemplate
    from tunesmith.evaluate.contest import Contest
    from tunesmith.models.load import load_tokenizer, stop_token_ids
    from tunesmith.recipe.evaluate import DecodingSection

    report(f"loading {version.reference}", 0, len(rows))
    folder, section, model = _load(version, home, start)
    tokenizer = load_tokenizer(folder, section, start)
    renderer = Renderer(tokenizer, ChatTemplate(tokenizer, section.source), stop_token_ids(tokenizer, folder))
    contest = Contest(model, renderer, DecodingSection(max_new_tokens=1), report)
    examples = [row.example() for row in rows]
    readable = contest.readable(examples)
    if not readable:
        raise EvaluationError(
            f"{version.reference} can read none of the {len(rows)} golden rows", where=version.name,
            fix="are they conversations with an answer, and shorter than the model's context?",
        )  # fmt: skip
    found = contest.likelihoods("golden set", [examples[number] for number in readable])
    return {rows[number].id: one for number, one in zip(readable, found, strict=True)}


def _load(version: Version, home: Home, start: Path) -> tuple[Path, Any, Any]:
    """The folder with the tokenizer, how it is loaded, and the model."""
    from tunesmith.models.load import choose_device, load_base
    from tunesmith.models.tuned import find_tuned
    from tunesmith.recipe.model import ModelSection
    from tunesmith.registry.registry import Registry

    if version.kind == "adapter":
        tuned = find_tuned(version.reference, home, start)
        return tuned.base.folder, tuned.section, tuned.load(choose_device())
    registry = Registry.open(home, create=False)
    try:
        folder = registry.fetch(version)
    finally:
        registry.close()
    section = ModelSection(source=str(folder))
    return folder, section, load_base(folder, section, choose_device())
