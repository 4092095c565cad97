"""Attention inside documents, against transformers' own attention on each document alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests import tiny_models
from tunesmith.errors import ModelError
from tunesmith.models import attention
from tunesmith.models.attention import GROUPED, PACKED, SHORT, Documents, positions_of
from tunesmith.models.probe import check_packed

CPU = torch.device("cpu")
KINDS: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {"num_key_value_heads": 1},
    "qwen3": {"head_dim": 32},
    "gemma": {"head_dim": 16, "num_key_value_heads": 4},
    "mistral": {"sliding_window": None},
}
LENGTHS = [
    [5],
    [1],
    [1, 1, 1],
    [9, 1, 30, 2, 2, 17],
    [3, 200, 1, 64, 63, 7],
    [SHORT + 30, 4, SHORT, SHORT + 1, 300],
]


@pytest.fixture(scope="module", autouse=True)
def _registered() -> None:
    attention.register()


def tokens(lengths: list[int], seed: int = 1) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, 258, (length,), generator=generator) for length in lengths]


def packed_logits(model: Any, documents: list[torch.Tensor]) -> torch.Tensor:
    lengths = [len(document) for document in documents]
    model.set_attn_implementation(PACKED)
    logits: torch.Tensor = model(
        input_ids=torch.cat(documents).unsqueeze(0),
        position_ids=positions_of(lengths, CPU),
        documents=Documents.of(lengths, CPU, model.dtype),
        use_cache=False,
    ).logits[0]
    return logits


def alone_logits(model: Any, documents: list[torch.Tensor], implementation: str) -> torch.Tensor:
    model.set_attn_implementation(implementation)
    return torch.cat([model(input_ids=document.unsqueeze(0), use_cache=False).logits[0] for document in documents])


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_packed_documents_have_the_logits_they_have_alone(lengths: list[int], implementation: str) -> None:
    model, documents = tiny_models.model(), tokens(lengths)
    torch.testing.assert_close(
        packed_logits(model, documents), alone_logits(model, documents, implementation), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_of_several_architectures(kind: str) -> None:
    model, documents = tiny_models.model(kind, **KINDS[kind]), tokens([9, 1, 30, 2, 17])
    torch.testing.assert_close(
        packed_logits(model, documents), alone_logits(model, documents, "eager"), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("lengths", LENGTHS[3:], ids=str)
def test_and_the_gradients(lengths: list[int]) -> None:
    model, documents = tiny_models.model(), tokens(lengths)
    direction = torch.randn(sum(lengths), 258, generator=torch.Generator().manual_seed(2)) / sum(lengths)
    found = {}
    for name, logits in (("packed", packed_logits), ("eager", lambda *given: alone_logits(*given, "eager"))):
        model.zero_grad()
        (logits(model, documents) * direction).sum().backward()
        found[name] = {key: value.grad.clone() for key, value in model.named_parameters()}
    for key, gradient in found["eager"].items():
        torch.testing.assert_close(found["packed"][key], gradient, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("lengths", LENGTHS[3:], ids=str)
def test_documents_never_influence_each_other(lengths: list[int]) -> None:
    model, documents = tiny_models.model(), tokens(lengths)
    before = packed_logits(model, documents).split(lengths)
    for changed in range(len(lengths)):
        others = list(documents)
        others[changed] = (documents[changed] + 101) % 258
        after = packed_logits(model, others).split(lengths)
        for place, (old, new) in enumerate(zip(before, after, strict=True)):
            if place == changed:
                assert (old - new).abs().max() > 1e-2
            else:
                torch.testing.assert_close(new, old, atol=1e-6, rtol=0)


def test_layout_spends_little_on_padding() -> None:
    lengths = [500, *[10] * 100, 260, 1]
    documents = Documents.of(lengths, CPU, torch.float32)
    cells = sum(group.count * group.longest**2 for group in documents.groups)
    assert cells <= 4 * sum(length**2 for length in lengths)
    assert sorted(documents.scatter.tolist()) == sorted(set(documents.scatter.tolist()))
    assert len(documents.scatter) == sum(lengths)


def test_no_mask_is_made_for_documents_that_do_not_need_it() -> None:
    assert Documents.of([SHORT + 1], CPU, torch.float32).mask is None
    mask = Documents.of([SHORT + 1, 7], CPU, torch.float32).mask
    assert mask is not None and mask.shape == (7, 7)


@pytest.mark.parametrize("length", [1, 4])
def test_grouped_attention_of_a_left_padded_batch_is_that_of_sdpa(length: int) -> None:
    model = tiny_models.model()
    ids = torch.stack(tokens([12, 12, 12]))
    mask = torch.ones_like(ids)
    mask[0, :7], mask[2, :3] = 0, 0
    found = {}
    for name in ("sdpa", GROUPED):
        model.set_attn_implementation(name)
        with torch.no_grad():
            first = model(input_ids=ids[:, :-length], attention_mask=mask[:, :-length], use_cache=True)
            positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -length:]
            second = model(
                input_ids=ids[:, -length:],
                attention_mask=mask,
                position_ids=positions,
                past_key_values=first.past_key_values,
            )
        found[name] = torch.cat([first.logits, second.logits], 1)
    seen = mask.bool()
    torch.testing.assert_close(found[GROUPED][seen], found["sdpa"][seen], atol=1e-5, rtol=1e-5)
    assert found[GROUPED].isfinite().all()


def test_grouped_attention_without_a_mask_is_causal() -> None:
    model, ids = tiny_models.model(), tokens([20])[0].unsqueeze(0)
    model.set_attn_implementation("eager")
    expected = model(input_ids=ids).logits
    model.set_attn_implementation(GROUPED)
    torch.testing.assert_close(model(input_ids=ids).logits, expected, atol=1e-5, rtol=1e-5)


def test_soft_caps_are_left_to_the_models_own_attention() -> None:
    plain, capped = (tiny_models.model(kind, head_dim=16).config for kind in ("gemma", "gemma2"))
    assert attention.for_generation(plain, CPU) == GROUPED
    assert attention.for_generation(plain, torch.device("cuda")) == "sdpa"
    assert attention.for_generation(capped, CPU) == "eager"


REFUSED = [
    ("gemma2", {"head_dim": 16}, "gemma2 has soft-capped attention, which training cannot reproduce yet"),
    (
        "mistral",
        {"sliding_window": 64},
        "mistral has a sliding window of 64 tokens, which training cannot reproduce yet\n"
        "  fix: set train.sequence_length to 64 or less",
    ),
    (
        "llama4_text",
        {"layer_types": ["chunked_attention", "full_attention"], "head_dim": 16},
        "llama4_text has layers of type chunked_attention, which training cannot reproduce yet\n"
        "  fix: use another base model",
    ),
]


@pytest.mark.parametrize(("kind", "changes", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_training_cannot_reproduce_is_refused(kind: str, changes: dict[str, Any], message: str) -> None:
    from transformers import CONFIG_MAPPING

    config = CONFIG_MAPPING[kind](**{**tiny_models.SHAPE, **changes})
    with pytest.raises(ModelError) as caught:
        attention.check_supported(config, 128)
    assert str(caught.value).startswith(f"model.source: {message}")


def test_a_window_as_long_as_the_rows_is_no_window() -> None:
    attention.check_supported(tiny_models.model("mistral", sliding_window=64).config, 64)
    attention.check_supported(tiny_models.model("qwen2", use_sliding_window=False).config, 4096)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_probe_passes_models_that_can_be_packed(kind: str, dtype: torch.dtype) -> None:
    model = tiny_models.model(kind, **KINDS[kind]).to(dtype)
    model.set_attn_implementation(PACKED)
    check_packed(model)
    assert model.config._attn_implementation == PACKED


LEAKING = {
    "bloom": {"n_layer": 2, "n_head": 4},
    "gemma2": {"head_dim": 16, "attn_logit_softcapping": 1.0},
    "mamba": {"hidden_size": 64, "state_size": 8},
}


@pytest.mark.parametrize("kind", LEAKING)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_probe_refuses_models_that_cannot(kind: str, dtype: torch.dtype) -> None:
    model = tiny_models.model(kind, **LEAKING[kind]).to(dtype)
    with pytest.raises(ModelError, match=f"training cannot compute what {kind} computes"):
        model.set_attn_implementation(PACKED)
        check_packed(model)
