"""The `evaluate` section: metrics, prompt baselines, decoding, the gate."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tunesmith.recipe.section import Section

MetricName = Literal[
    "exact_match", "token_f1", "label_f1", "rouge1", "rouge2", "rougeL", "bleu", "chrf", "meteor_es", "perplexity",
    "bits_per_byte", "json_valid", "json_schema", "length_ratio",
]  # fmt: skip


class PromptsSection(Section):
    """Prompt baselines: what the base model reaches without training."""

    zero_shot: bool = True
    """The conversation as it is."""

    few_shot: tuple[int, ...] = (3,)
    """For each k, k examples from the training set as earlier turns."""

    instructions: tuple[str, ...] = ()
    """Each is tried as the system message, alone and with the first `few_shot` number of examples."""

    seed: int = 0
    """Which training examples are shown."""


class DecodingSection(Section):
    """How answers are generated, the same for every contestant."""

    max_new_tokens: int = Field(128, ge=1)
    """Longest answer, in tokens."""

    temperature: float = Field(0.0, ge=0)
    """0 is greedy."""

    stop: tuple[str, ...] = ()
    """An answer ends before the first of these strings, besides at the end-of-turn token."""

    batch_size: int = Field(16, ge=1)
    """Answers generated at once."""

    seed: int = 0
    """Sampling, when the temperature is above 0."""


class GateSection(Section):
    """The check a version must pass: better than the best prompt."""

    metric: MetricName = "rougeL"
    """Metric that decides, and by which the best prompt is chosen on the validation split."""

    margin: float = 0.0
    """The lower end of the 95 % interval of the paired difference must lie above this, in the metric's own units."""


class EvaluateSection(Section):
    """The comparison of base model, best prompt and tuned model on the same held-out rows."""

    metrics: tuple[MetricName, ...] = ("rougeL", "chrf", "exact_match", "perplexity")
    """Metrics of the report. The gate's metric is always among them."""

    max_test_rows: int | None = Field(200, ge=2)
    """Rows of the test split to answer, chosen by the split seed; null for all."""

    max_validation_rows: int = Field(32, ge=2)
    """Rows of the validation split by which the best prompt is chosen."""

    prompts: PromptsSection = PromptsSection()
    """Prompt baselines to try."""

    decoding: DecodingSection = DecodingSection()
    """How answers are generated."""

    gate: GateSection = GateSection()
    """What the tuned model must show before it is registered as passed."""

    json_schema: dict[str, Any] | None = None
    """JSON schema of a right answer, for `json_schema`."""

    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Coverage of the intervals."""

    resamples: int = Field(10_000, ge=100)
    """Bootstrap resamples and permutations."""
