"""Made-up rows, answers and reports for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.evaluate.answers import Answer, Contestant, TestRow
from tunesmith.evaluate.build import build_report
from tunesmith.evaluate.metrics import METRICS, Measured
from tunesmith.evaluate.result import EvaluationReport, ReportContext, TrainingPoint, TrainingSummary
from tunesmith.evaluate.selection import Selection, TriedPrompt
from tunesmith.recipe.evaluate import EvaluateSection, GateSection

SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}


def rows_of(references: Sequence[str], prompt: str = "Say it") -> list[TestRow]:
    return [
        TestRow(prompt, reference, None, f"rows.jsonl:{line}") for line, reference in enumerate(references, start=1)
    ]


def answers_of(texts: Sequence[str], nll: float = 10.0, *, finished: bool = True) -> tuple[Answer, ...]:
    return tuple(Answer(text, nll, 5, 20, finished) for text in texts)


def measure(
    name: str, texts: Sequence[str], references: Sequence[str], section: EvaluateSection | None = None
) -> Measured:
    section = section or EvaluateSection(json_schema=SCHEMA)
    return METRICS[name].measure(rows_of(references), answers_of(texts), section)


def value(name: str, texts: Sequence[str], references: Sequence[str]) -> float:
    return measure(name, texts, references).result.value


def context() -> ReportContext:
    curve = (
        TrainingPoint(1, train_loss=2.5, tokens_per_second=220.0),
        TrainingPoint(2, train_loss=float("nan"), validation_loss=2.1),
    )
    return ReportContext(
        name="functions",
        model="smollm2-135m-instruct (sha256:12ab)",
        dataset_version="sha256:34cd",
        recipe_hash="sha256:56ef",
        created_at="2026-11-22T13:00:00+00:00",
        machine={"cpu": "2 cores", "memory": "24 GiB"},
        software={"tunesmith": "0.1.0", "torch": "2.13.0"},
        training=TrainingSummary(curve, num_examples=400, num_steps=2, minutes=4.4, tokens_per_second=231.5),
    )


def report_of(
    references: Sequence[str],
    base: Sequence[str],
    best: Sequence[str],
    tuned: Sequence[str],
    *,
    prompt: str = "Say it",
    names: tuple[str, str, str] = ("zero-shot", "3-shot", "tuned"),
    description: str = "The conversation as it is.",
) -> EvaluationReport:
    """A report with the usual three contestants and few resamples."""
    contestants = [
        Contestant(names[0], "prompt", description, answers_of(base, 20.0)),
        Contestant(names[1], "prompt", description, answers_of(best, 15.0)),
        Contestant(names[2], "tuned", description, answers_of(tuned, 8.0)),
    ]
    section = EvaluateSection(
        resamples=500, metrics=("rougeL", "exact_match", "perplexity", "length_ratio"), gate=GateSection()
    )
    tried = (TriedPrompt(names[0], description, 0.15), TriedPrompt(names[1], description, 0.23))
    return build_report(
        rows_of(references, prompt), contestants, section, context(),
        base=names[0], best_prompt=names[1], tuned=names[2],
        selection=Selection("rougeL", "ROUGE-L", 32, tried, names[1]),
    )  # fmt: skip


def varied_report() -> EvaluationReport:
    """Twelve rows on which the tuned model is clearly better, and not by the same amount everywhere."""
    references = [f"return the number {n} of open files in folder {n * n}" for n in range(12)]
    best = [f"the number {n} of files" if n % 2 else f"it returns {n}" for n in range(12)]
    tuned = [text if n % 3 else text.replace("open files", "files") for n, text in enumerate(references)]
    return report_of(references, ["I cannot help"] * 12, best, tuned)
