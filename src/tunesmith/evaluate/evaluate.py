"""The honest comparison: base model, best prompt and tuned model on the same held-out rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tunesmith.data.dataset import Dataset
from tunesmith.data.example import Example
from tunesmith.data.render import Renderer
from tunesmith.errors import EvaluationError
from tunesmith.evaluate.build import build_report
from tunesmith.evaluate.contest import Contest, Report
from tunesmith.evaluate.metrics import check_metrics
from tunesmith.evaluate.prompts import ZERO_SHOT, variants
from tunesmith.evaluate.result import EvaluationReport, ReportContext
from tunesmith.evaluate.selection import choose_prompt
from tunesmith.recipe.evaluate import EvaluateSection

LIKELIHOOD_METRICS = {"perplexity", "bits_per_byte"}
BASE, TUNED = "base model", "fine-tuned"


def evaluate(
    model: Any,
    renderer: Renderer,
    dataset: Dataset,
    section: EvaluateSection,
    context: ReportContext,
    report: Report = lambda what, done, total: None,
    base: Any = None,
) -> EvaluationReport:
    """Choose the best prompt on the validation rows, then let base, best prompt and tuned model answer the test rows.

    `model` is the base with the adapter on it, or a whole model beside `base`. Rows are chosen by the dataset's split
    seed. Raises EvaluationError when there are too few rows or a metric cannot be had.
    """
    seed = int(dataset.manifest["split_seed"])
    test = choose_rows(list(dataset.examples("test")), section.max_test_rows, seed)
    validation = choose_rows(list(dataset.examples("validation")), section.max_validation_rows, seed)
    if len(test) < 2:
        raise EvaluationError(
            f"the test split has {len(test)} rows", where="data.split.test", fix="hold out more, or give data.test"
        )
    contest = Contest(model, renderer, section.decoding, report, base)
    rows = [contest.test_row(row) for row in test]
    check_metrics(rows, section)
    prompts = variants(section.prompts, list(dataset.examples("train")))
    if len(prompts) > 1 and len(validation) < 2:
        raise EvaluationError(
            f"the validation split has {len(validation)} rows, so the best prompt cannot be chosen",
            where="data.split.validation",
            fix="hold out more, or give data.validation",
        )
    best, selection = prompts[0], None
    if len(prompts) > 1:
        needs = section.gate.metric in LIKELIHOOD_METRICS
        tried = [contest.answer(prompt.name, "prompt", prompt, validation, likelihood=needs) for prompt in prompts]
        selection = choose_prompt([contest.test_row(row) for row in validation], tried, section)
        best = next(prompt for prompt in prompts if prompt.name == selection.best)
    contestants = [contest.answer(BASE, "prompt", ZERO_SHOT, test)]
    best_name = BASE
    if best is not ZERO_SHOT:
        best_name = f"best prompt ({best.name})"
        contestants.append(contest.answer(best_name, "prompt", best, test))
    contestants.append(contest.answer(TUNED, "tuned", ZERO_SHOT, test))
    return build_report(
        rows,
        contestants,
        section,
        context,
        base=BASE,
        best_prompt=best_name,
        tuned=TUNED,
        selection=selection,
        seed=seed,
    )


def choose_rows(rows: Sequence[Example], limit: int | None, seed: int) -> list[Example]:
    """At most `limit` rows, drawn by the seed, in their own order."""
    if limit is None or len(rows) <= limit:
        return list(rows)
    chosen = np.sort(np.random.default_rng([seed, 0x726F77]).permutation(len(rows))[:limit])
    return [rows[index] for index in chosen]
