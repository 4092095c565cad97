"""The `data` section: sources, format, split, audit."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from tunesmith.recipe.section import Section
from tunesmith.recipe.sources import Sources

Role = Literal["system", "user", "assistant", "tool"]
FormatName = Literal["auto", "chat", "sharegpt", "alpaca", "prompt-completion", "text-label", "columns"]
GateFinding = Literal[
    "malformed", "empty", "overlong", "duplicates", "near-duplicates", "leakage", "contradictions", "imbalance",
    "mixed-scripts", "secrets", "template-markers", "insufficient",
]  # fmt: skip


class FormatSection(Section):
    """How a row becomes a conversation."""

    type: FormatName = "auto"
    """`auto` looks at the first rows; `columns` uses the templates below."""

    prompt: str | None = None
    """For `columns`: the user's message, with `{column}` where a column's value goes."""

    completion: str | None = None
    """For `columns`: the assistant's answer, with `{column}` where a column's value goes."""

    text_column: str | None = None
    """For `text-label`: the column with the text, when it has an unusual name."""

    label_column: str | None = None
    """For `text-label`, `columns` and `chat`: the column with the class, used to stratify the split and to count
    balance."""

    instruction: str | None = None
    """For `text-label`: the request put above each text."""

    @model_validator(mode="after")
    def _belongs(self) -> FormatSection:
        """A setting that would be ignored is a mistake, not a wish."""
        given = {
            name
            for name in ("prompt", "completion", "text_column", "label_column", "instruction")
            if getattr(self, name) is not None
        }
        allowed = {
            "columns": {"prompt", "completion", "label_column"},
            "text-label": {"text_column", "label_column", "instruction"},
            "chat": {"label_column"},
        }.get(self.type, set())
        if stray := sorted(given - allowed):
            raise ValueError(f"{', '.join(stray)} has no effect with format '{self.type}'")
        if self.type == "columns" and not (self.prompt and self.completion):
            raise ValueError("format 'columns' needs both 'prompt' and 'completion'")
        return self


def _named(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


class SplitSection(Section):
    """How rows without a split of their own are divided."""

    validation: float | int = Field(0.1, ge=0)
    """Share (below 1) or number of rows held out to choose prompts and to stop early."""

    test: float | int = Field(0.1, ge=0)
    """Share (below 1) or number of rows held out for the final report, never seen before it."""

    seed: int = 0
    """Which rows go where."""

    stratify: bool = True
    """Keep the share of each label the same in every split, when rows have labels."""

    group_near_duplicates: bool = True
    """Keep near-duplicates on one side, so that the test set is not a copy of the training set."""


class AuditSection(Section):
    """What the audit looks for, and what stops a run."""

    near_duplicate_threshold: float = Field(0.85, gt=0, le=1)
    """Jaccard similarity of word 3-grams from which two rows count as near-duplicates."""

    fail_on: tuple[GateFinding, ...] = ("malformed", "leakage", "secrets")
    """Findings that refuse the data. Of secrets only checksum-backed ones can; the rest are warnings."""


class DataSection(Section):
    """Rows of examples and what to do with them."""

    train: Sources
    """Rows to learn from: a path, a source, or a list of either."""

    validation: Sources | None = None
    """Rows to choose prompts and stop early by; taken from `train` by `split` when not given."""

    test: Sources | None = None
    """Rows for the final report; taken from `train` by `split` when not given."""

    format: Annotated[FormatSection, BeforeValidator(_named)] = FormatSection()
    """How a row becomes a conversation: a name, or a mapping with details."""

    system: str | None = None
    """System message for conversations that have none. The same one is needed when the model is used."""

    train_on: tuple[Role, ...] = ("assistant",)
    """Roles whose turns carry loss."""

    overlong: Literal["error", "truncate", "drop"] = "error"
    """What to do with a conversation longer than `train.sequence_length`. Each is counted, whatever is done."""

    max_train_examples: int | None = Field(None, ge=1)
    """Learn from this many examples at most, chosen by the split seed."""

    split: SplitSection = SplitSection()
    """How held-out rows are chosen."""

    audit: AuditSection = AuditSection()
    """What the audit looks for, and what stops a run."""

    ray_data_min_rows: int = Field(500_000, ge=0)
    """From this many rows on, rendering and tokenising run on Ray Data instead of in one process."""
