"""How likely a model finds the reference answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from tunesmith.evaluate.generate import Progress, SharedPrefix


@torch.no_grad()
def negative_log_likelihoods(
    model: Any,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    progress: Progress = lambda count: None,
) -> list[float]:
    """Sum of -ln p over the tokens of each answer after its prompt, in nats.

    `prompts` and `answers` are token ids; an answer includes the token that ends the turn. One row at a time, without
    padding; what all prompts share is computed once.
    """
    prefix = SharedPrefix(model, prompts)
    sums = []
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = torch.tensor([[*prompt[prefix.length :], *answer]], device=model.device)
        predicting = torch.arange(ids.shape[1] - len(answer) - 1, ids.shape[1] - 1, device=model.device)
        logits = model(
            input_ids=ids, past_key_values=prefix.for_batch(1), use_cache=prefix.length > 0, logits_to_keep=predicting
        ).logits[0]
        targets = torch.tensor(list(answer), device=model.device)
        sums.append(float(F.cross_entropy(logits.float(), targets, reduction="sum")))
        progress(1)
    return sums
