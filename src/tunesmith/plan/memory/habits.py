"""What trainers do differently, where memory depends on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Habits:
    """The defaults are this package's own. Others are for comparing the model with what others have measured.

    `adapter_bytes`, `full_bytes` and `gradient_bytes` are those of one trained value and of its gradient; `state_bytes`
    those of the optimizer for each trained value, None as the recipe says. `gradients_kept` is False where each weight
    moves as soon as its gradient is there.

    `all_logits`: the head runs on every token. `logit_bytes` of each logit are held in the loss at its worst, None as
    our own loss does; `loss_chunks` pieces are taken one after the other.

    `adapter_inputs_copied`: PEFT's own layer, which converts the input for each adapter; None as ours. `dropout_kept`:
    the inputs of adapters are kept once more for each, dropped out, with a mask of bytes. `norm_bytes` of each value
    that a norm keeps. `compiled`: torch.compile keeps what goes into a chain of elementwise steps, not what is between.
    `attention_bytes` are kept for each pair of tokens and head where attention is not fused.

    `packed_inputs_kept`: layers of 4 bits keep their inputs, as those of bitsandbytes 0.41 do. `values_in_whole`:
    attention keeps values as a view of the whole product that queries, keys and values are parts of. `scales_cut`:
    those of a quantisation are shared out. `slack_bytes` is what the allocator holds besides, None as ours.
    """

    adapter_bytes: int = 4
    full_bytes: int = 4
    gradient_bytes: int = 4
    state_bytes: float | None = None
    gradients_kept: bool = True
    all_logits: bool = False
    logit_bytes: float | None = None
    loss_chunks: int = 1
    adapter_inputs_copied: bool | None = None
    dropout_kept: bool = False
    norm_bytes: int = 4
    compiled: bool = False
    attention_bytes: int = 0
    packed_inputs_kept: bool = False
    values_in_whole: bool = False
    scales_cut: bool = False
    slack_bytes: int | None = None


OURS = Habits()
