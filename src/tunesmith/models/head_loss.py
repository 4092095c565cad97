"""The loss of a model's head a few labels at a time, so that their logits are never in memory together.

For each label the head makes as many numbers as the vocabulary has tokens: 4,096 labels of a vocabulary of 128,256 are
2.1 GB in float32, and the usual way holds them two or three times. Here the gradient of a chunk is taken at once, in
the forward pass, and its logits are forgotten, as Liger does it on GPUs (Hsu et al. 2024, arXiv:2410.10989).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from tunesmith.errors import ModelError

KINDS = ("llama", "mistral", "mixtral", "olmo2", "phi3", "qwen2", "qwen3", "qwen3_moe", "smollm3")
"""Architectures whose logits are the head's outputs as they are; others scale or cap them afterwards."""

CHUNK, GPU_CHUNK = 256, 1024
"""Labels at a time. On a CPU products of fewer rows are slower, and more gain nothing; a GPU wants larger ones."""


class ChunkedLoss(torch.autograd.Function):
    """hidden (labels, width), weight (vocabulary, width), targets and weights (labels,) -> the weighted sum, float32.

    Keeps the gradients of hidden and, where it is trained, of weight: (labels, width) and (vocabulary, width).
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor,
        rows: int,
        learns: bool,
    ) -> torch.Tensor:
        """`rows` labels at a time; without `learns` no gradient is made."""
        by_hidden = torch.empty_like(hidden) if learns and ctx.needs_input_grad[0] else None
        by_weight = torch.zeros_like(weight) if learns and ctx.needs_input_grad[1] else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, len(hidden), rows):
                part = slice(start, start + rows)
                target = targets[part].unsqueeze(1)
                log_probs = F.linear(hidden[part], weight).float().log_softmax(1)
                total -= torch.dot(log_probs.gather(1, target).squeeze(1), weights[part])
                if by_hidden is None and by_weight is None:
                    continue
                # By logits: weight x (softmax - 1 at the target).
                scales = weights[part].unsqueeze(1)
                gradient = log_probs.exp_().mul_(scales).scatter_add_(1, target, -scales).to(hidden.dtype)
                if by_hidden is not None:
                    by_hidden[part] = gradient @ weight
                if by_weight is not None:
                    by_weight.addmm_(gradient.t(), hidden[part])
        ctx.save_for_backward(by_hidden, by_weight)
        return total

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        """What the forward pass has made, times `grad`."""
        by_hidden, by_weight = (None if kept is None else kept * grad for kept in ctx.saved_tensors)
        return by_hidden, by_weight, None, None, None, None


class HeadLoss:
    """Has a causal LM's head give the loss of its logits in their place, within the head's own forward pass.

    So it works where weights are only gathered for that pass. Raises ModelError for a model it is not exact for.
    """

    def __init__(self, model: Any) -> None:
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        check_kind(base.config)
        head = base.get_output_embeddings()
        if type(head) is not torch.nn.Linear or head.bias is not None:
            raise _refused("its head has more than a weight")
        self._head, self._general = head, head.forward
        self._labels: tuple[torch.Tensor, torch.Tensor] | None = None
        head.forward = self._forward

    def __call__(self, run: Callable[[], Any], targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The weighted sum of losses, where `run` calls the model for the positions that predict `targets`."""
        self._labels = targets, weights
        try:
            loss: torch.Tensor = run().logits[0, 0]
        finally:
            self._labels = None
        return loss

    def _forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(1, labels, width) -> the loss (1, 1), or the logits where nobody has asked for a loss."""
        if self._labels is None:
            return self._general(hidden)
        weight = self._head.weight
        if torch.is_autocast_enabled(hidden.device.type):
            kind = torch.get_autocast_dtype(hidden.device.type)
            hidden, weight = hidden.to(kind), weight.to(kind)
        rows = GPU_CHUNK if hidden.is_cuda else CHUNK
        return ChunkedLoss.apply(hidden[0], weight, *self._labels, rows, torch.is_grad_enabled()).view(1, 1)


def check_kind(config: Any) -> None:
    """Refuse an architecture that this would not be exact for. Raises ModelError."""
    kind = config.get_text_config().model_type
    if kind not in KINDS:
        raise _refused(f"{kind} is not among {', '.join(KINDS)}")


def _refused(why: str) -> ModelError:
    return ModelError(f"the loss cannot be made in chunks: {why}", where="train.chunked_loss", fix="leave it out")
