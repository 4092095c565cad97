"""Attention inside documents: several packed into one row, none sees another, nothing is spent on padding.

A row is the documents of a micro-batch one after the other, without padding. Only the attention has to know where one
ends: queries, keys and values are laid out as one document a batch entry, documents of similar length together, attend
causally, and are put back in a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from tunesmith.errors import ModelError

PACKED = "tunesmith_packed"
"""Name under which transformers finds the attention of training."""

GROUPED = "tunesmith_grouped"
"""Name of the attention for generation on a CPU: padded batches, keys shared by several heads are not copied."""

SHORT = 512
"""Up to this length plain products beat torch's CPU flash kernel in bfloat16, whose backward pass is slow."""

EXTRAS = ("softcap", "s_aux", "position_bias", "head_mask")
"""What an attention layer of transformers may hand to its attention function and this one does not compute."""


@dataclass(frozen=True)
class Group:
    """Documents of similar length. `gather` (count x longest,) takes row positions to batch entries of one document.

    Where a document is shorter than the longest, position 0 of the row stands in; causal attention never looks there.
    """

    count: int
    longest: int
    gather: torch.Tensor


@dataclass(frozen=True)
class Documents:
    """Where the documents of a row lie.

    Documents of similar length are computed together. `scatter` (tokens,) takes the results of all groups, one after
    the other, back to the row. `mask` (longest, longest) of the groups that plain products are used for is 0 where a
    query may look and -inf elsewhere; None when there is no such group.
    """

    groups: tuple[Group, ...]
    scatter: torch.Tensor
    mask: torch.Tensor | None

    @classmethod
    def of(cls, lengths: list[int], device: torch.device, dtype: torch.dtype) -> Documents:
        """Lay out documents of these lengths, in the order of the row."""
        sizes = torch.tensor(lengths)
        starts = torch.cumsum(sizes, 0) - sizes
        scatter = torch.empty(int(sizes.sum()), dtype=torch.long)
        groups, offset, plain = [], 0, 0
        for members in _similar(lengths, device):
            longest = lengths[members[0]]
            column = torch.arange(longest)
            inside = column < sizes[members, None]
            row = starts[members, None] + column
            scatter[row[inside]] = offset + torch.arange(inside.numel()).view(inside.shape)[inside]
            groups.append(Group(len(members), longest, torch.where(inside, row, 0).flatten().to(device)))
            offset += inside.numel()
            if _is_plain(longest, device):
                plain = max(plain, longest)
        # Only as large as needed: for documents of 32,000 tokens it would be 2 GB.
        mask = torch.full((plain, plain), float("-inf"), dtype=dtype).triu(1).to(device) if plain else None
        return cls(tuple(groups), scatter.to(device), mask)


def _similar(lengths: list[int], device: torch.device) -> list[list[int]]:
    """Indices of documents, longest first, in groups in which none is below half of the longest.

    In one group, a long document among many short ones would make attention, and the memory it keeps for the backward
    pass, grow with documents x longest^2.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        longest = lengths[groups[-1][0]] if groups else 0
        alike = _is_plain(longest, device) == _is_plain(lengths[index], device)
        if groups and alike and 2 * lengths[index] >= longest:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _is_plain(longest: int, device: torch.device) -> bool:
    return device.type == "cpu" and longest <= SHORT


def positions_of(lengths: list[int], device: torch.device) -> torch.Tensor:
    """Positions of the row's tokens, shape (1, tokens), starting again at 0 with each document."""
    return torch.cat([torch.arange(length) for length in lengths]).unsqueeze(0).to(device)


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    documents: Documents | None = None,
    **_others: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each document; query (1, heads, tokens, width), key and value with their own heads.

    Returns (1, tokens, heads, width), as transformers expects of an attention function.
    """
    if documents is None:
        raise ValueError("packed attention needs the row's documents")
    _refuse_extras(_others)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    mixed = [_attend(query, key, value, group, documents.mask, dropout, scale) for group in documents.groups]
    return torch.cat(mixed).index_select(0, documents.scatter).unsqueeze(0), None


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    group: Group,
    mask: torch.Tensor | None,
    dropout: float,
    scale: float,
) -> torch.Tensor:
    """Attention of one group, (count x longest, heads, width)."""
    query, key, value = (_by_document(tensor, group) for tensor in (query, key, value))
    if mask is not None and _is_plain(group.longest, query.device) and not dropout:
        mixed = _plain_attention(query * scale, key, value, mask[: group.longest, : group.longest])
    else:
        mixed = F.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scale, dropout_p=dropout, enable_gqa=True
        )
    return mixed.transpose(1, 2).flatten(0, 1)


def _by_document(tensor: torch.Tensor, group: Group) -> torch.Tensor:
    """(1, heads, tokens, width) -> (count, heads, longest, width)."""
    rows = tensor[0].transpose(0, 1).index_select(0, group.gather)
    return rows.view(group.count, group.longest, *rows.shape[1:]).transpose(1, 2)


def _refuse_extras(others: dict[str, Any]) -> None:
    """An attention layer that hands over more than queries, keys and values computes something else than this does."""
    if extra := sorted(name for name in EXTRAS if others.get(name) is not None):
        raise ValueError(f"its attention uses {', '.join(extra)}")


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of a padded batch under the mask that transformers makes for SDPA.

    query (batch, heads, length, width), key and value (batch, shared heads, keys, width), mask (batch, 1, length, keys)
    true where a query may look, or None for causal. Returns (batch, length, heads, width). On a CPU, torch's SDPA with
    a mask would first copy each key head once for every query head that shares it.
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    length, keys = query.shape[2], key.shape[2]
    if attention_mask is None:
        past = keys - length
        attention_mask = torch.ones(length, keys, dtype=torch.bool, device=query.device).tril(past)[None, None]
    blocked = torch.zeros(attention_mask.shape, dtype=query.dtype, device=query.device)
    # Not -inf: a padding query sees nothing, and a softmax over nothing is not a number.
    blocked.masked_fill_(~attention_mask, torch.finfo(query.dtype).min)
    mixed = _plain_attention(query * scale, key, value, blocked.unsqueeze(2))
    return mixed.transpose(1, 2).contiguous(), None


def _plain_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Attention as two products; the query heads that share a key head are one taller matrix."""
    count, heads, length, width = query.shape
    shared, keys = key.shape[1], key.shape[2]
    grouped = query.reshape(count, shared, heads // shared * length, width)
    scores = torch.matmul(grouped, key.transpose(-1, -2)).view(count, shared, heads // shared, length, keys)
    weights = torch.softmax(scores + mask, dim=-1)
    return torch.matmul(weights.view(count, shared, -1, keys), value).view(count, heads, length, width)


def register() -> None:
    """Make transformers know these attentions, and which masks they want."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(PACKED, packed_attention)
    AttentionMaskInterface.register(PACKED, _no_mask)
    AttentionInterface.register(GROUPED, grouped_attention)
    AttentionMaskInterface.register(GROUPED, sdpa_mask)


def for_generation(config: Any, device: torch.device) -> str:
    """The attention to generate with: the grouped one where it is faster and computes the same, else torch's own.

    Attention with soft caps or sinks is the model's own affair: torch's SDPA would leave them out in silence.
    """
    config = config.get_text_config()
    if config.model_type == "gpt_oss" or any(
        getattr(config, name, None) for name in ("attn_logit_softcapping", "sinks")
    ):
        return "eager"
    return GROUPED if device.type == "cpu" else "sdpa"


def check_supported(config: Any, sequence_length: int) -> None:
    """Refuse architectures whose attention does more than this one. Raises ModelError naming what it is."""
    config = config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    stranger = kinds - {"full_attention", "sliding_attention"}
    problem = (
        f"layers of type {', '.join(sorted(stranger))}" if stranger
        else "soft-capped attention" if getattr(config, "attn_logit_softcapping", None)
        else f"a sliding window of {window} tokens" if window and window < sequence_length
        else "attention sinks" if config.model_type == "gpt_oss"
        else None
    )  # fmt: skip
    if problem:
        fix = f"set train.sequence_length to {window} or less" if window and not stranger else "use another base model"
        raise ModelError(
            f"{config.model_type} has {problem}, which training cannot reproduce yet", where="model.source", fix=fix
        )


def _no_mask(*_: Any, **__: Any) -> None:
    return None
