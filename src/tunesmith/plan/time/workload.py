"""How much a recipe makes a model read: rows, tokens and learnt tokens, steps, and what evaluation answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tunesmith.recipe.evaluate import PromptsSection
from tunesmith.recipe.schema import Recipe
from tunesmith.recipe.train import TrainSection

VALIDATION_LOSSES = 10
"""Over a run whose recipe gives no interval; the loop's own number, which a test compares."""

SPREAD = 1.5
"""Mean square of the documents' lengths over the square of their mean, where only the mean is known. 1 is all alike;
1.5 that of the 400 conversations of jobs/quickstart.yaml, rounded."""

SHARE_PACKED = 0.95
"""Of a row's room that packing fills, where the rows are not known: best fit leaves a few per cent."""


@dataclass(frozen=True)
class Part:
    """Some packed rows: how many, of how many documents; their tokens and learnt tokens; `squares`, the sum of the
    squares of the documents' lengths, which attention grows with."""

    rows: float = 0
    documents: float = 0
    tokens: float = 0
    labels: float = 0
    squares: float = 0

    def times(self, factor: float) -> Part:
        """So many times as much."""
        return Part(*(value * factor for value in asdict(self).values()))


@dataclass(frozen=True)
class Workload:
    """A whole run.

    `train` is one epoch, `trained` all that is learnt from in `steps` optimizer steps of `batch_rows` rows each (on the
    mean); `validation` is read `evaluations` times. Then `test_rows` are answered by `contestants` (base, best prompt,
    tuned) and `choice_rows` by each of `prompts` ways to ask, of which the best is chosen; a prompt has
    `prompt_tokens`, a reference answer `answer_tokens`, a prompt's examples `shown_tokens` on top, on the mean.
    """

    train: Part
    trained: Part
    steps: int
    batch_rows: float
    validation: Part
    evaluations: int
    test_rows: int
    choice_rows: int
    prompts: int
    contestants: int
    prompt_tokens: float
    answer_tokens: float
    shown_tokens: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def workload_of(manifest: Mapping[str, Any], recipe: Recipe) -> Workload:
    """The workload of a prepared dataset version, by its manifest.

    The number of steps is that of `plan_batches`, exactly with `train.batch_size`; with `batch_tokens` it depends on
    the rows' order and is an estimate.
    """
    parts = {name: _part(counts) for name, counts in manifest["parts"].items()}
    test = int(manifest["parts"].get("test", {}).get("examples", 0))
    return _workload(parts["train"], parts.get("validation", Part()), test, recipe)


def guess_workload(recipe: Recipe, examples: int, tokens_per_example: float, label_share: float = 1 / 3) -> Workload:
    """The workload of rows that are not prepared, from their number and mean length in tokens.

    Of every example's tokens a `label_share` is learnt. What `data.split` holds out is taken off.
    """
    held_out = {
        name: 0.0 if getattr(recipe.data, name) else _held_out(getattr(recipe.data.split, name), examples)
        for name in ("validation", "test")
    }
    limit = recipe.data.max_train_examples or math.inf
    number = max(1.0, min(limit, examples - sum(held_out.values())))
    length = min(tokens_per_example, recipe.train.sequence_length)

    def part(documents: float) -> Part:
        tokens = documents * length
        room = recipe.train.sequence_length * SHARE_PACKED
        rows = math.ceil(max(1.0, tokens / room)) if recipe.train.packing and documents else documents
        square = min(length * length * SPREAD, length * recipe.train.sequence_length)
        return Part(rows, documents, tokens, tokens * label_share, documents * square)

    return _workload(part(number), part(held_out["validation"]), int(held_out["test"]), recipe)


def _held_out(asked: float, examples: int) -> float:
    """`data.split` names a number of rows, or a share below 1."""
    return float(round(asked * examples)) if asked < 1 else float(min(asked, examples))


def _part(counts: Mapping[str, Any]) -> Part:
    """One part of a manifest; older ones do not have the squares."""
    documents, tokens = float(counts["examples"]), float(counts["tokens"])
    square = counts.get("squared_lengths")
    if square is None:
        square = tokens * tokens / documents * SPREAD if documents else 0.0
    return Part(float(counts["rows"]), documents, tokens, float(counts["label_tokens"]), float(square))


def _workload(train: Part, validation: Part, test_examples: int, recipe: Recipe) -> Workload:
    section, evaluate = recipe.train, recipe.evaluate
    steps, passes = _steps(train, section)
    every = section.eval_every or math.ceil(steps / VALIDATION_LOSSES)
    mean = train.tokens / max(1.0, train.documents)
    answer = train.labels / max(1.0, train.documents)
    prompts = num_prompts(evaluate.prompts)
    return Workload(
        train=train,
        trained=train.times(passes),
        steps=steps,
        batch_rows=train.rows * passes / steps,
        validation=validation,
        evaluations=math.ceil(steps / every) if validation.rows else 0,
        test_rows=min(test_examples, evaluate.max_test_rows or test_examples),
        choice_rows=int(min(validation.documents, evaluate.max_validation_rows)) if prompts > 1 else 0,
        prompts=prompts,
        contestants=3 if prompts > 1 or not evaluate.prompts.zero_shot else 2,
        prompt_tokens=max(0.0, mean - answer),
        answer_tokens=answer,
        shown_tokens=mean * max((*evaluate.prompts.few_shot, 0)),
    )


def num_prompts(section: PromptsSection) -> int:
    """Ways to ask that are tried: as `evaluate.prompts.variants` lists them."""
    shots = len(dict.fromkeys(section.few_shot))
    return int(section.zero_shot) + shots + len(section.instructions) * (1 + min(1, len(section.few_shot)))


def _steps(train: Part, section: TrainSection) -> tuple[int, float]:
    """Optimizer steps of the run, and how often it goes through the rows in them; as `plan_batches` counts them."""
    rows = max(1.0, train.rows)
    batch = section.batch_size
    if section.batch_tokens is not None:
        # A batch is full with the row that reaches the limit, which is half a row past it on the mean.
        each = section.batch_tokens + train.tokens / rows / 2
        an_epoch = max(1, math.ceil(train.tokens / each))
    else:
        an_epoch = math.ceil(rows / batch)
    limit = math.inf if section.max_steps is None else section.max_steps
    total, passes, left = 0, 0.0, float(section.epochs)
    while left > 0 and total < limit:
        done = int(min(math.ceil(round(min(left, 1.0) * an_epoch, 6)), limit - total))
        # The last batch of an epoch may be smaller than the others.
        part = done * batch / rows if section.batch_tokens is None else done / an_epoch
        total, passes = total + done, passes + min(1.0, part)
        left = round(left - 1.0, 9)
    return max(1, total), passes
