"""A first recipe with comments, from a few answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tunesmith.recipe.dump import flow

Task = Literal["generation", "classification", "json", "chat"]

DOCSTRINGS = "python-docstrings"
"""A source that is on every machine: good for a first try without data of one's own."""


@dataclass(frozen=True)
class TaskDefaults:
    """What usually fits a task: what is measured, what decides, how long answers get."""

    summary: str
    metrics: tuple[str, ...]
    gate: str
    max_new_tokens: int
    few_shot: int


TASKS: dict[Task, TaskDefaults] = {
    "generation": TaskDefaults("free text", ("rougeL", "chrf", "exact_match", "perplexity"), "rougeL", 128, 3),
    "classification": TaskDefaults("one of a few labels", ("label_f1", "exact_match", "perplexity"), "label_f1", 16, 8),
    "json": TaskDefaults("JSON", ("json_valid", "exact_match", "token_f1", "perplexity"), "token_f1", 256, 3),
    "chat": TaskDefaults("the next turn of a conversation", ("chrf", "rougeL", "perplexity"), "chrf", 256, 3),
}


@dataclass(frozen=True)
class Answers:
    """What a user says about the fine-tune. `data` is a path as the recipe should hold it, or `python-docstrings`.

    `format` is the name of a row format, `auto` when nobody knows; `columns` are the names seen in the first row.
    """

    name: str
    model: str
    data: str
    task: Task
    format: str = "auto"
    columns: tuple[str, ...] = ()


def draft_recipe(answers: Answers) -> str:
    """Give the text of a recipe, with a comment beside what is usually changed. It loads as it is."""
    task = TASKS[answers.task]
    schema_note = (
        "\n  # json_schema: {type: object, required: [id]}  # what a right answer looks like; then add the metric"
    )
    return f"""\
# A fine-tune, from rows of examples to a measured, registered version.
#   tunesmith recipe show RECIPE      every value, and where it comes from
#   tunesmith run RECIPE              audit, prepare, train, evaluate, register
name: {flow(answers.name)}  # versions are registered under this name

model:
  source: {flow(answers.model)}  # a short name (`tunesmith doctor --models`), hub id, folder or GGUF file

data:
{_data(answers)}
  overlong: error  # or truncate, drop: conversations longer than train.sequence_length
  split:  # rows held out; a share below 1, or a number of rows
    validation: 0.1
    test: 0.1

method:
  type: lora  # or qlora (4-bit base), full (all weights)
  rank: 16  # more learns more and costs more memory: 8 to 64 is usual
  alpha: 32

train:
  sequence_length: 1024  # tokens
  epochs: 1
  batch_size: 8  # packed rows in an optimizer step, over all workers
  learning_rate: 2e-4

evaluate:  # the answer is {task.summary}
  metrics: {flow(task.metrics)}
  prompts:
    few_shot: [{task.few_shot}]  # examples shown to the base model, which must be beaten
    # instructions: ["Answer in one sentence."]  # prompts to beat as well
  decoding:
    max_new_tokens: {task.max_new_tokens}
  gate:
    metric: {task.gate}  # tuned must be better than the best prompt by more than `margin`
    margin: 0.0{schema_note if answers.task == "json" else ""}
"""


def _data(answers: Answers) -> str:
    if answers.data == DOCSTRINGS:
        return """\
  train:
    type: python-docstrings  # functions of this Python installation; replace by a path to rows of your own
  format:
    type: columns
    prompt: "Summarise this Python function in one sentence.\\n\\n{code}"
    completion: "{summary}\""""
    lines = [f"  train: {flow(answers.data)}  # a path, a glob, a URL, or a list of them"]
    if answers.format == "auto" and answers.columns:
        shown = ", ".join(flow(column) for column in answers.columns[:12])
        lines += [
            f"  # The first row has the columns {shown}: no known format. Say which is which:",
            "  # format:",
            "  #   type: columns",
            '  #   prompt: "{a column}"',
            '  #   completion: "{another column}"',
        ]
    lines.append(f"  format: {answers.format}  # or chat, sharegpt, alpaca, prompt-completion, text-label, columns")
    return "\n".join(lines)
