"""Try on the loaded model itself whether packed attention gives what the model's own gives."""

from __future__ import annotations

from typing import Any

import torch

from tunesmith.errors import ModelError
from tunesmith.models.attention import PACKED, Documents, positions_of

LENGTHS = [7, 1, 5, 3]
"""Tokens of the documents that are tried."""

TOLERANCE = {torch.float32: 0.01}
"""Largest root mean square difference of the logits, as a share of their spread. Rounding stays far below it; where a
document sees its neighbour it is far above."""

ROUGH_TOLERANCE = 0.2
"""The same in bfloat16."""


@torch.no_grad()
def check_packed(model: Any, dtype: torch.dtype | None = None) -> None:
    """Compare a packed row with its documents one at a time under the model's own attention, and the head on chosen
    positions with the head on all.

    This finds what no list of architectures does: layers that carry state from token to token, attention that is not
    exchangeable, arguments that are not handed on. `dtype` is what is computed in, by default the type of the weights.
    Raises ModelError saying what differs.
    """
    dtype = dtype or model.dtype
    name = model.config.get_text_config().model_type
    ids = _some_tokens(model)
    last = torch.tensor(LENGTHS, device=model.device).cumsum(0) - 1
    try:
        packed = model(
            input_ids=torch.cat(ids).unsqueeze(0),
            position_ids=positions_of(LENGTHS, model.device),
            documents=Documents.of(LENGTHS, model.device, dtype),
            logits_to_keep=last,
            use_cache=False,
        ).logits[0]
        model.set_attn_implementation("eager")
        try:
            alone = torch.stack([model(input_ids=one.unsqueeze(0), use_cache=False).logits[0, -1] for one in ids])
        finally:
            model.set_attn_implementation(PACKED)
    except (ValueError, TypeError, RuntimeError, AttributeError, IndexError) as error:
        raise _refused(name, str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)) from error
    if packed.shape != alone.shape:
        raise _refused(name, "its head cannot be run on chosen positions")
    packed, alone = packed.float(), alone.float()
    difference = (packed - alone).square().mean().sqrt() / (alone.std() + 1e-12)
    if not difference <= TOLERANCE.get(dtype, ROUGH_TOLERANCE):
        raise _refused(name, f"documents packed into one row change each other's logits, by {difference:.0%}")


def _some_tokens(model: Any) -> list[torch.Tensor]:
    size = model.get_input_embeddings().num_embeddings
    ids = (torch.arange(sum(LENGTHS), device=model.device) * 7919 + 11) % size
    return list(ids.split(LENGTHS))


def _refused(name: str, why: str) -> ModelError:
    return ModelError(
        f"training cannot compute what {name} computes ({why})", where="model.source", fix="use another base model"
    )
