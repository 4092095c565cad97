"""The `train` section: batches, optimizer, schedule, checkpoints."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from tunesmith.recipe.section import Section

Decay = Annotated[float, Field(ge=0, lt=1)]
_UNITS = {"s": 1, "m": 60, "h": 3600}


def duration(text: str) -> str:
    """Check that it is a number with its unit. Raises ValueError, with what to write."""
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?[smh]", text) is None or not seconds_of(text) > 0:
        raise ValueError(f"{text!r} is no time", "write a number with its unit: 90s, 15m or 1.5h")
    return text


Duration = Annotated[str, AfterValidator(duration)]
"""A time as a recipe writes it."""


def seconds_of(duration: str) -> float:
    """`15m` -> 900.0."""
    return float(duration[:-1]) * _UNITS[duration[-1]]


class EarlyStoppingSection(Section):
    """Stop when the validation loss no longer falls."""

    patience: int = Field(3, ge=1)
    """Evaluations without improvement before the run stops."""

    min_improvement: float = Field(0.0, ge=0)
    """How much lower the loss must be to count, in nats per token."""


class TrainSection(Section):
    """The training loop."""

    sequence_length: int = Field(1024, ge=16)
    """Tokens in a packed row; no conversation may be longer (see `data.overlong`)."""

    packing: bool = True
    """Put several conversations into one row, each blind to the others. Off: one conversation a row."""

    epochs: float = Field(1.0, gt=0)
    """Passes over the training data."""

    max_steps: int | None = Field(None, ge=1)
    """Stop after this many optimizer steps, whatever `epochs` says."""

    batch_size: int = Field(8, ge=1)
    """Packed rows in one optimizer step, over all workers: more workers do not change the result."""

    batch_tokens: int | None = Field(None, ge=1)
    """Tokens in one optimizer step instead of `batch_size` rows."""

    micro_batch_tokens: int = Field(2048, ge=16)
    """Tokens a worker takes through the model at once; lower it when memory runs out. The result does not change."""

    learning_rate: float = Field(2e-4, gt=0)
    """Peak learning rate."""

    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the rate falls after warm-up; cosine and linear end at zero."""

    warmup: float | int = Field(0.05, ge=0)
    """Share (below 1) or number of steps over which the rate rises from zero."""

    optimizer: Literal["adamw", "adamw8bit", "paged_adamw8bit"] = "adamw"
    """AdamW with its state in float32, or in blocks of 8 bits (bitsandbytes), which `paged` spills from a full GPU."""

    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay (Loshchilov & Hutter 2017, arXiv:1711.05101)."""

    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Decay of AdamW's running means of the gradient and of its square."""

    max_grad_norm: float = Field(1.0, ge=0)
    """Gradients are scaled down to this L2 norm; 0 turns clipping off."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type the model computes in; `auto` is bfloat16 where the hardware has it. Adapters stay in float32."""

    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: a third more work for much less memory."""

    activation_offload: bool = False
    """Keep activations in memory instead of on the GPU until the backward pass asks for them. Refused without GPUs."""

    chunked_loss: bool = False
    """Make logits and their gradients a few labels at a time instead of all together: less memory where many tokens of
    a large vocabulary are learnt."""

    seed: int = 0
    """Initial adapter weights, order of the data, dropout."""

    eval_every: int | None = Field(None, ge=1)
    """Steps between validation losses; by default ten over the run. The last step always has one."""

    early_stopping: EarlyStoppingSection | None = None
    """Stop when the validation loss no longer falls."""

    checkpoint_every: Annotated[int, Field(ge=1)] | Literal["auto"] | Duration = "auto"
    """Steps between checkpoints, or time, such as `90s`, `15m`, `1.5h`. `auto` follows from what a checkpoint costs and
    how often workers are lost (Young 1974, doi:10.1145/361147.361115), and is ten over the run at least."""

    keep_checkpoints: int = Field(2, ge=1)
    """How many of the latest to keep, besides the best one."""

    on_spike: Literal["skip", "rewind", "ignore"] = "skip"
    """What to do when the loss leaps or is no number: pass the batch over (three in a row: go back to the last
    checkpoint and pass over all that followed it), go back at once, or nothing. The rows are named in every case."""

    max_rewinds: int = Field(3, ge=0)
    """How often a run may go back to a checkpoint because of its loss."""

    @model_validator(mode="after")
    def _one_batch_size(self) -> TrainSection:
        if self.batch_tokens is not None and "batch_size" in self.model_fields_set:
            raise ValueError("give 'batch_size' or 'batch_tokens', not both")
        return self
