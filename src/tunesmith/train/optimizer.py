"""AdamW and the learning rate over the run."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from tunesmith.recipe.train import TrainSection


def make_optimizer(parameters: Iterable[torch.nn.Parameter], section: TrainSection) -> torch.optim.Optimizer:
    """AdamW over the trained parameters: in torch's fused form, which it has for CPU and CUDA, or of 8 bits.

    The latter is bitsandbytes', which keeps the state of tensors below 4,096 values in float32.
    """
    if section.optimizer != "adamw":
        from bitsandbytes.optim import AdamW8bit, PagedAdamW8bit

        kind = AdamW8bit if section.optimizer == "adamw8bit" else PagedAdamW8bit
        small: torch.optim.Optimizer = kind(
            list(parameters), lr=section.learning_rate, betas=section.betas, weight_decay=section.weight_decay
        )
        return small
    return torch.optim.AdamW(
        list(parameters),
        lr=section.learning_rate,
        betas=section.betas,
        weight_decay=section.weight_decay,
        fused=True,
    )


def learning_rate(step: int, total_steps: int, section: TrainSection) -> float:
    """The rate of a step counted from 0: a straight rise over the warm-up, then the schedule.

    Of w warm-up steps the first has 1/(w+1) of the peak, so that none is spent at rate 0; step w has the peak. From
    there on the rates are those of `transformers.get_cosine_schedule_with_warmup(num_warmup_steps=w)`: the rate would
    reach zero at step `total_steps`, one behind the last. Cosine as in Loshchilov & Hutter 2016, arXiv:1608.03983,
    without restarts.
    """
    warmup = num_warmup_steps(total_steps, section)
    if step < warmup:
        return section.learning_rate * (step + 1) / (warmup + 1)
    done = (step - warmup) / max(total_steps - warmup, 1)
    factor = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1.0 + math.cos(math.pi * done))}
    return section.learning_rate * factor[section.schedule]


def num_warmup_steps(total_steps: int, section: TrainSection) -> int:
    """Steps of the warm-up: a share of the run, or a number of steps."""
    return round(section.warmup * total_steps) if section.warmup < 1 else min(int(section.warmup), total_steps)
