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
    every prompt stays outside, because the model has to say something after it. Nothing is shared by models that look
    at a window or carry a state: the padding behind the prefix would count for them.
    """

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]]) -> None:
        shares = len(prompts) > 1 and _looks_everywhere(model.config.get_text_config())
        self.length = _shared_length(prompts) if shares else 0
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
    # The longest first: if memory does not suffice, it shows at once.
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    for start in range(0, len(order), decoding.batch_size):
        chosen = order[start : start + decoding.batch_size]
        ids = _generate_batch(model, tokenizer, [prompts[index] for index in chosen], decoding, stop_ids, prefix)
        for index, answer in zip(chosen, ids, strict=True):
            answers[index] = _to_text(answer, tokenizer, decoding, stop_ids)
        progress(len(chosen))
    return answers  # type: ignore[return-value]


class StopAtText:
    """Ends each row of a batch once its answer holds one of the stop strings; `prompt` is the number of tokens before.

    transformers' own criterion takes time to prepare, and may find a string that began in the prompt.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[str], prompt: int) -> None:
        self.tokenizer, self.stops, self.prompt = tokenizer, stops, prompt

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """One truth value for each row."""
        texts = self.tokenizer.batch_decode(input_ids[:, self.prompt :], skip_special_tokens=True)
        return torch.tensor([any(stop in text for stop in self.stops) for text in texts], device=input_ids.device)


def generation_arguments(
    tokenizer: Any, decoding: DecodingSection, stop_ids: frozenset[int], prompt: int
) -> dict[str, Any]:
    """What the recipe's decoding means to `model.generate`; `prompt` is the number of tokens before the answer."""
    from transformers import GenerationConfig, StoppingCriteriaList

    sampled = decoding.temperature > 0
    config = GenerationConfig(
        max_new_tokens=decoding.max_new_tokens,
        do_sample=sampled,
        temperature=decoding.temperature if sampled else None,
        top_p=1.0 if sampled else None,
        top_k=0 if sampled else None,
        eos_token_id=sorted(stop_ids),
        pad_token_id=_pad(tokenizer, stop_ids),
    )
    stops = [StopAtText(tokenizer, decoding.stop, prompt)] if decoding.stop else []
    return {"generation_config": config, "stopping_criteria": StoppingCriteriaList(stops)}


def _pad(tokenizer: Any, stop_ids: frozenset[int]) -> int:
    return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(stop_ids)


def _generate_batch(
    model: Any,
    tokenizer: Any,
    prompts: list[Sequence[int]],
    decoding: DecodingSection,
    stop_ids: frozenset[int],
    prefix: SharedPrefix,
) -> list[list[int]]:
    longest = max(map(len, prompts))
    rows, masks = [], []
    for prompt in prompts:
        gap = longest - len(prompt)
        rows.append([*prompt[: prefix.length], *[_pad(tokenizer, stop_ids)] * gap, *prompt[prefix.length :]])
        masks.append([1] * prefix.length + [0] * gap + [1] * (len(prompt) - prefix.length))
    output = model.generate(
        input_ids=torch.tensor(rows, device=model.device),
        attention_mask=torch.tensor(masks, device=model.device),
        past_key_values=prefix.for_batch(len(prompts)),
        **generation_arguments(tokenizer, decoding, stop_ids, longest),
    )
    return output[:, longest:].tolist()


def _to_text(ids: list[int], tokenizer: Any, decoding: DecodingSection, stop_ids: frozenset[int]) -> Generated:
    end = next((place for place, token in enumerate(ids) if token in stop_ids), None)
    text = tokenizer.decode(ids[:end], skip_special_tokens=True)
    cuts = [place for stop in decoding.stop if (place := text.find(stop)) >= 0]
    return Generated(text[: min(cuts)] if cuts else text, end is not None or bool(cuts))


def _shared_length(prompts: Sequence[Sequence[int]]) -> int:
    first, last = min(prompts), max(prompts)
    limit = max(0, min(map(len, prompts)) - 1)
    return next((place for place in range(limit) if first[place] != last[place]), limit)


def _looks_everywhere(config: Any) -> bool:
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    return kinds == {"full_attention"} and not windowed
