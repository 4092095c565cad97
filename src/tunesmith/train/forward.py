"""Packed rows through the model: the loss of the learnt tokens, with logits for those alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from tunesmith.data.dataset import PackedRow
from tunesmith.models.attention import Documents, positions_of
from tunesmith.models.head_loss import HeadLoss


@dataclass(frozen=True)
class MicroBatch:
    """Rows one after the other, without padding.

    `input_ids` and `positions` (1, tokens); `predicting` (labels,) where the next token is learnt, `targets` (labels,)
    that token, `weights` (labels,) float32; `num_tokens` and `label_weight`, the sum of the weights, on the host.
    """

    input_ids: torch.Tensor
    positions: torch.Tensor
    documents: Documents
    predicting: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    num_tokens: int
    label_weight: float

    @classmethod
    def of(cls, rows: Sequence[PackedRow], device: torch.device, dtype: torch.dtype) -> MicroBatch:
        """Put packed rows into tensors on the device."""
        ids = torch.from_numpy(np.concatenate([row.input_ids for row in rows]).astype(np.int64))
        starts = np.cumsum([0, *(len(row.input_ids) for row in rows[:-1])])
        labels = [row.label_positions + start for row, start in zip(rows, starts, strict=True)]
        positions = torch.from_numpy(np.concatenate(labels).astype(np.int64))
        weights = torch.from_numpy(np.concatenate([row.label_weights for row in rows]).astype(np.float32))
        lengths = [int(length) for row in rows for length in row.document_lengths]
        return cls(
            input_ids=ids.unsqueeze(0).to(device),
            positions=positions_of(lengths, device),
            documents=Documents.of(lengths, device, dtype),
            predicting=(positions - 1).to(device),
            targets=ids[positions].to(device),
            weights=weights.to(device),
            num_tokens=len(ids),
            label_weight=float(weights.sum()),
        )


def loss_sum(model: Any, batch: MicroBatch, head_loss: HeadLoss | None = None) -> torch.Tensor:
    """Weighted sum of the negative log-likelihoods of the learnt tokens, in nats, float32.

    `model` is a causal LM of transformers loaded with `models.attention.PACKED`; its head runs on the learnt positions
    only. With `head_loss` of that model it is made in chunks.
    """

    def run() -> Any:
        return model(
            input_ids=batch.input_ids,
            position_ids=batch.positions,
            documents=batch.documents,
            logits_to_keep=batch.predicting,
            use_cache=False,
        )

    if head_loss is not None:
        return head_loss(run, batch.targets, batch.weights)
    losses = F.cross_entropy(run().logits[0].float(), batch.targets, reduction="none")
    return torch.dot(losses, batch.weights)
