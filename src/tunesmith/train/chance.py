"""Random numbers of a forward pass: drawn from the seed, the step and the row, so that a resumed run draws the same."""

from __future__ import annotations

from typing import Any

import torch


def draws(model: Any) -> bool:
    """Whether a forward pass in training mode draws random numbers: dropout in the adapter or in the base."""
    if any(isinstance(module, torch.nn.modules.dropout._DropoutNd) and module.p > 0 for module in model.modules()):
        return True
    config = model.config.get_text_config()
    return any(getattr(config, name, 0) for name in ("attention_dropout", "attention_probs_dropout_prob"))


def seed_draws(seed: int, step: int, row: int) -> None:
    """Seed torch for the rows of a micro-batch, named by the first."""
    torch.manual_seed((seed * 1_000_003 + step) * 1_000_003 + row & 0x7FFF_FFFF_FFFF_FFFF)
