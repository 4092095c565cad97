"""Generation in padded batches behind a shared prefix, against transformers one prompt at a time."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from tests import tiny_models
from tunesmith.evaluate.generate import Generated, SharedPrefix, generate
from tunesmith.evaluate.likelihood import negative_log_likelihoods
from tunesmith.models.attention import GROUPED, register
from tunesmith.recipe.evaluate import DecodingSection

STOPS = frozenset({1})
TOKENIZER = tiny_models.tokenizer()
KINDS: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {"num_key_value_heads": 1},
    "gemma": {"head_dim": 16},
    "mistral": {"sliding_window": 12},
    "gemma2": {"head_dim": 16, "sliding_window": 8},
}


def model(kind: str = "llama", attention: str = GROUPED) -> Any:
    from transformers import GenerationConfig

    register()
    made = tiny_models.model(kind, **KINDS[kind])
    made.generation_config = GenerationConfig()
    made.set_attn_implementation("eager" if kind == "gemma2" else attention)
    return made


def prompts_of(prefix: int, lengths: list[int], seed: int = 0) -> list[list[int]]:
    draw = random.Random(seed)
    shared = [draw.randrange(2, 258) for _ in range(prefix)]
    # The first token after what is shared is different everywhere, so that no more is shared by chance.
    return [
        [*shared, 2 + place, *(draw.randrange(2, 258) for _ in range(length - 1))]
        for place, length in enumerate(lengths)
    ]


def one_by_one(made: Any, prompts: list[list[int]], max_new_tokens: int) -> list[Generated]:
    made.set_attn_implementation("eager")
    answers = []
    for prompt in prompts:
        out = made.generate(
            input_ids=torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=max_new_tokens, do_sample=False, eos_token_id=[1], pad_token_id=1,
        )[0, len(prompt) :].tolist()  # fmt: skip
        ended = 1 in out
        text = TOKENIZER.decode(out[: out.index(1)] if ended else out, skip_special_tokens=True)
        answers.append(Generated(text, ended))
    return answers


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prefix", [0, 1, 25])
def test_answers_are_those_of_one_prompt_at_a_time_in_order(kind: str, prefix: int) -> None:
    prompts = prompts_of(prefix, [3, 11, 1, 7, 30, 2, 5])
    decoding = DecodingSection(max_new_tokens=12, batch_size=3)
    seen: list[int] = []
    found = generate(model(kind), TOKENIZER, prompts, decoding, STOPS, seen.append)
    assert found == one_by_one(model(kind), prompts, 12)
    assert seen == [3, 3, 1]


@pytest.mark.parametrize("attention", [GROUPED, "sdpa"])
def test_what_is_shared_is_computed_once(attention: str) -> None:
    made = model(attention=attention)
    assert SharedPrefix(made, prompts_of(25, [3, 11, 4])).length == 25
    assert SharedPrefix(made, [[5, 6, 7], [5, 6, 7]]).length == 2
    assert SharedPrefix(made, [[5, 6, 7], [5]]).length == 0
    assert SharedPrefix(made, [[5, 6, 7]]).length == 0
    # A window would count the padding behind the prefix.
    assert SharedPrefix(model("mistral"), prompts_of(25, [3, 11, 4])).length == 0


@pytest.mark.parametrize("prompts", [[[5, 6, 7]], [[5, 6, 7]] * 4, [[9]], [[9], [9]], []], ids=str)
def test_identical_and_single_prompts(prompts: list[list[int]]) -> None:
    found = generate(model(), TOKENIZER, prompts, DecodingSection(max_new_tokens=8), STOPS)
    assert found == one_by_one(model(), prompts, 8)


def test_an_answer_ends_at_its_end_token_at_a_stop_string_or_at_its_limit() -> None:
    made, prompts = model(), prompts_of(4, [3, 9, 5, 6, 2, 8, 4, 7, 3, 5])
    plain = generate(made, TOKENIZER, prompts, DecodingSection(max_new_tokens=30), STOPS)
    texts = [answer.text for answer in plain]
    stop = texts[0][3:5]
    assert len(stop) == 2
    cut = generate(made, TOKENIZER, prompts, DecodingSection(max_new_tokens=30, stop=(stop, "\0\0")), STOPS)
    for whole, answer in zip(plain, cut, strict=True):
        assert answer.text == whole.text.partition(stop)[0]
        assert answer.finished == (whole.finished or stop in whole.text)
    assert cut[0].finished and len(cut[0].text) <= 3
    short = generate(made, TOKENIZER, prompts, DecodingSection(max_new_tokens=1), STOPS)
    assert [answer.finished for answer in short] == [answer.text == "" for answer in short]


def test_a_stop_string_that_begins_in_the_prompt_is_none() -> None:
    made = model()
    (plain,) = generate(made, TOKENIZER, [[5, 6, 7]], DecodingSection(max_new_tokens=6), STOPS)
    stop = TOKENIZER.decode([7]) + plain.text[0]
    (found,) = generate(made, TOKENIZER, [[5, 6, 7]], DecodingSection(max_new_tokens=6, stop=(stop,)), STOPS)
    assert found.text == plain.text.partition(stop)[0]


def test_sampling_follows_its_seed() -> None:
    made, prompts = model(), prompts_of(4, [3, 9, 5])

    def texts(**settings: Any) -> list[str]:
        decoding = DecodingSection(max_new_tokens=12, **settings)
        return [answer.text for answer in generate(made, TOKENIZER, prompts, decoding, STOPS)]

    assert texts(temperature=1.0, seed=1) == texts(temperature=1.0, seed=1) != texts(temperature=1.0, seed=2)
    assert texts(temperature=0.0, seed=1) == texts(temperature=0.0, seed=2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prefix", [0, 25])
def test_likelihoods_are_those_of_full_logits(kind: str, prefix: int) -> None:
    prompts, answers = prompts_of(prefix, [3, 11, 1, 7]), prompts_of(0, [1, 4, 9, 2], seed=5)
    expected = []
    plain = model(kind)
    plain.set_attn_implementation("eager")
    for prompt, answer in zip(prompts, answers, strict=True):
        with torch.no_grad():
            chances = plain(input_ids=torch.tensor([[*prompt, *answer]])).logits[0].log_softmax(-1)
        expected.append(-sum(float(chances[len(prompt) + i - 1, token]) for i, token in enumerate(answer)))
    assert negative_log_likelihoods(model(kind), prompts, answers) == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_likelihoods_of_identical_and_single_prompts() -> None:
    made = model()
    (one,) = negative_log_likelihoods(made, [[5, 6, 7]], [[8, 1]])
    assert negative_log_likelihoods(made, [[5, 6, 7]] * 3, [[8, 1]] * 3) == pytest.approx([one] * 3, rel=1e-5)
    assert negative_log_likelihoods(made, [], []) == []
