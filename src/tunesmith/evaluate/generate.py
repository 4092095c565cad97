"""Answers of a model, many at once, with what all prompts share computed once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tunesmith.recipe.evaluate import DecodingSection

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Generated:
    """An answer's text, and whether the model ended it rather than the length limit."""

    text: str
    finished: bool


class SharedPrefix:
    """The tokens that all prompts begin with, and the model's keys and values for them.

    Few-shot prompts share most of their length, so each is computed on its own remainder only. At least one token of
    every prompt stays outside, because the model has to say something after it.
    """

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]]) -> None:
        self.length = _shared_length(prompts) if len(prompts) > 1 else 0
        self.model = model
        self.cache = None
        if self.length:
            ids = torch.tensor([list(prompts[0][: self.length])], device=model.device)
            with torch.no_grad():
                self.cache = model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values

    def for_batch(self, size: int) -> Any:
        """A copy of the cache for so many prompts, or None when nothing is shared."""
        if self.cache is None:
            return None
        cache = copy.deepcopy(self.cache)
        cache.batch_repeat_interleave(size)
        return cache


@torch.no_grad()
def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    decoding: DecodingSection,
    stop_ids: frozenset[int],
    progress: Progress = lambda count: None,
) -> list[Generated]:
    """Answer each prompt (token ids that end where the answer begins), in order.

    Greedy at temperature 0, else sampled with `decoding.seed`. Prompts of similar length go together, padded between
    what they share and what they do not.
    """
    torch.manual_seed(decoding.seed)
    prefix = SharedPrefix(model, prompts)
    answers: list[Generated | None] = [None] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    for start in range(0, len(order), decoding.batch_size):
        chosen = order[start : start + decoding.batch_size]
        ids = _generate_batch(model, tokenizer, [prompts[index] for index in chosen], decoding, stop_ids, prefix)
        for index, answer in zip(chosen, ids, strict=True):
            answers[index] = _to_text(answer, tokenizer, decoding, stop_ids)
        progress(len(chosen))
    return answers  # type: ignore[return-value]


def _generate_batch(
    model: Any,
    tokenizer: Any,
    prompts: list[Sequence[int]],
    decoding: DecodingSection,
    stop_ids: frozenset[int],
    prefix: SharedPrefix,
) -> list[list[int]]:
    from transformers import GenerationConfig

    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(stop_ids)
    longest = max(map(len, prompts))
    rows, masks = [], []
    for prompt in prompts:
        gap = longest - len(prompt)
        rows.append([*prompt[: prefix.length], *[pad] * gap, *prompt[prefix.length :]])
        masks.append([1] * prefix.length + [0] * gap + [1] * (len(prompt) - prefix.length))
    sampled = decoding.temperature > 0
    config = GenerationConfig(
        max_new_tokens=decoding.max_new_tokens,
        do_sample=sampled,
        temperature=decoding.temperature if sampled else None,
        top_p=1.0 if sampled else None,
        top_k=0 if sampled else None,
        eos_token_id=sorted(stop_ids),
        pad_token_id=pad,
        stop_strings=list(decoding.stop) or None,
    )
    output = model.generate(
        input_ids=torch.tensor(rows, device=model.device),
        attention_mask=torch.tensor(masks, device=model.device),
        past_key_values=prefix.for_batch(len(prompts)),
        generation_config=config,
        tokenizer=tokenizer if decoding.stop else None,
    )
    return output[:, longest:].tolist()


def _to_text(ids: list[int], tokenizer: Any, decoding: DecodingSection, stop_ids: frozenset[int]) -> Generated:
    end = next((place for place, token in enumerate(ids) if token in stop_ids), None)
    text = tokenizer.decode(ids[:end], skip_special_tokens=True)
    cuts = [place for stop in decoding.stop if (place := text.find(stop)) >= 0]
    return Generated(text[: min(cuts)] if cuts else text, end is not None or bool(cuts))


def _shared_length(prompts: Sequence[Sequence[int]]) -> int:
    first, last = min(prompts), max(prompts)
    limit = min(map(len, prompts)) - 1
    return next((place for place in range(limit) if first[place] != last[place]), limit)
