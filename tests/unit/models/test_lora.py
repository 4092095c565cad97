"""Adapters: the same numbers as PEFT's own, files that PEFT reads, and what does not fit is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tiny_models
from tunesmith.errors import ModelError
from tunesmith.models.load import load_base, load_tuned
from tunesmith.models.lora import adapter_config, attach_lora, load_adapter, save_adapter
from tunesmith.models.lora_linear import LoraLinear, speed_up
from tunesmith.recipe.method import MethodSection
from tunesmith.recipe.model import ModelSection

CPU = torch.device("cpu")
FLOAT32 = ModelSection(source="tiny", dtype="float32")
IDS = torch.arange(2, 26).view(2, 12)


def adapted(method: MethodSection, seed: int = 0, fill: bool = True, **changes: Any) -> Any:
    """A tiny model with an adapter whose B is not zero, so that it changes something."""
    base = tiny_models.model(**changes).requires_grad_(False)
    made = attach_lora(base, method, seed)
    if fill:
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for name, weight in made.named_parameters():
                if "lora_B" in name:
                    weight.copy_(torch.randn(weight.shape, generator=generator) * 0.05)
    return made


def gradients(model: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad()
    logits = model(input_ids=IDS).logits
    logits.logsumexp(-1).sum().backward()
    return logits.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("kind", ["llama", "qwen2"])  # Qwen2 has a bias
@pytest.mark.parametrize("rslora", [False, True])
def test_the_fast_layer_equals_pefts_forward_and_backward(kind: str, rslora: bool) -> None:
    model = adapted(MethodSection(rank=4, alpha=10, rslora=rslora), kind=kind)
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    start = torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(4)) / 8
    found = []
    for _ in range(2):
        x = start.clone().requires_grad_()
        layer.zero_grad()
        out = layer(x)
        out.square().mean().backward()
        found.append([out, x.grad, layer.lora_A["default"].weight.grad, layer.lora_B["default"].weight.grad])
        speed_up(model)
    assert layer.forward.__qualname__.startswith("_forward_of")
    for fast, general in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(fast, general, atol=1e-6, rtol=1e-6)


def test_and_so_does_a_whole_model_of_them() -> None:
    model = adapted(MethodSection(rank=4))
    logits, expected = gradients(model)
    assert speed_up(model) == 14
    fast, found = gradients(model)
    torch.testing.assert_close(fast, logits, atol=1e-5, rtol=1e-5)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("bias", [False, True])
def test_its_gradients_are_those_of_finite_differences(bias: bool) -> None:
    generator = torch.Generator().manual_seed(3)

    def made(*shape: int, grad: bool = True) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_(grad)

    weight, offset = made(5, 7, grad=False), made(5, grad=False) if bias else None
    assert torch.autograd.gradcheck(
        lambda x, a, b: LoraLinear.apply(x, weight, offset, a, b, 0.7), (made(2, 3, 7), made(4, 7), made(5, 4))
    )


def test_switching_the_adapter_off_gives_the_base_and_merging_counts_once() -> None:
    base = tiny_models.model()(input_ids=IDS).logits
    model = adapted(MethodSection(rank=4))
    speed_up(model)
    with torch.no_grad():
        tuned = model(input_ids=IDS).logits
        with model.disable_adapter():
            assert torch.equal(model(input_ids=IDS).logits, base)
        assert (tuned - base).abs().max() > 0.1
        torch.testing.assert_close(model(input_ids=IDS).logits, tuned, atol=0, rtol=0)
        model.merge_adapter()
        torch.testing.assert_close(model(input_ids=IDS).logits, tuned, atol=1e-4, rtol=1e-4)


def test_another_adapter_can_be_chosen() -> None:
    model = adapted(MethodSection(rank=4))
    speed_up(model)
    from peft import LoraConfig

    model.add_adapter("other", LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=True))
    model.set_adapter("other")
    assert torch.equal(model(input_ids=IDS).logits, tiny_models.model()(input_ids=IDS).logits)


SLOW = [(MethodSection(rank=4, dora=True), 0), (MethodSection(rank=4, dropout=0.5), 0)]


@pytest.mark.parametrize(("method", "num_fast"), [*SLOW, (MethodSection(rank=4, targets=("q_proj", "v_proj")), 4)])
def test_only_plain_layers_are_exchanged(method: MethodSection, num_fast: int) -> None:
    model = adapted(method).eval()
    before = model(input_ids=IDS).logits
    assert speed_up(model) == num_fast
    torch.testing.assert_close(model(input_ids=IDS).logits, before, atol=1e-6, rtol=1e-6)


def test_dropout_still_drops() -> None:
    model = adapted(MethodSection(rank=4, dropout=0.5)).train()
    speed_up(model)
    assert not torch.equal(model(input_ids=IDS).logits, model(input_ids=IDS).logits)


def test_a_new_adapter_changes_nothing_depends_on_the_seed_alone_and_leaves_the_generator() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, again, other = (adapted(MethodSection(rank=4), seed, fill=False) for seed in (5, 5, 6))
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first(input_ids=IDS).logits, tiny_models.model()(input_ids=IDS).logits)
    name = next(name for name, _ in first.named_parameters() if "lora_A" in name)
    weights = [dict(model.named_parameters())[name] for model in (first, again, other)]
    assert weights[0].dtype == torch.float32
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    "method", [MethodSection(rank=4), MethodSection(rank=3, rslora=True), MethodSection(rank=4, dora=True)]
)
def test_plain_peft_loads_what_was_saved(
    method: MethodSection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import PeftModel

    model = adapted(method).eval()
    folder = tmp_path / "adapter"
    folder.mkdir()
    with monkeypatch.context() as patch:
        # Neither may ask a hub for the base model's vocabulary.
        patch.setattr("socket.getaddrinfo", lambda *_: pytest.fail("looked for the hub"))
        save_adapter(model, folder, "owner/model")
    expected = model(input_ids=IDS).logits
    plain = PeftModel.from_pretrained(tiny_models.model(), folder)
    torch.testing.assert_close(plain(input_ids=IDS).logits, expected, atol=1e-6, rtol=1e-6)
    ours = load_tuned(tiny_models.save(tmp_path / "base"), FLOAT32, folder, CPU)
    torch.testing.assert_close(ours(input_ids=IDS).logits, expected, atol=1e-5, rtol=1e-5)
    assert not any(parameter.requires_grad for parameter in ours.parameters())


def test_the_adapter_is_loaded_in_the_type_of_the_base(tmp_path: Path) -> None:
    save_adapter(adapted(MethodSection(rank=4)), tmp_path, "tiny")
    base = tiny_models.save(tmp_path / "base")
    tuned = load_tuned(base, ModelSection(source="tiny", dtype="bfloat16"), tmp_path, CPU)
    assert {parameter.dtype for parameter in tuned.parameters()} == {torch.bfloat16}


def test_the_same_adapter_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        save_adapter(adapted(MethodSection(rank=4), 5), tmp_path / name, "owner/model")
    for file in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


SHOWN = [
    ("smollm2-135m-instruct", "smollm2-135m-instruct"),
    ("owner/model", "owner/model"),
    ("/home/ann/models/mine", "mine"),
    ("../secret/place/mine.gguf", "mine.gguf"),
    ("~/models/mine", "mine"),
    ("s3://KEY:SECRET@bucket/models/mine", "s3://bucket/models/mine"),
]


@pytest.mark.parametrize(("source", "shown"), SHOWN)
def test_the_configuration_names_no_place_of_this_machine(source: str, shown: str, tmp_path: Path) -> None:
    tiny_models.save(tmp_path / "base")
    model = attach_lora(load_base(tmp_path / "base", FLOAT32, CPU), MethodSection(rank=2), 0)
    config = adapter_config(model, source)
    assert config["base_model_name_or_path"] == shown
    written = json.dumps(config, default=str)
    assert str(tmp_path) not in written and "SECRET" not in written and "/home" not in written


def test_targets_that_are_not_there_are_refused() -> None:
    message = "method.targets: the model has no linear layer named '{}'\n  fix: {}"
    rows = {
        "q_prj": "did you mean 'q_proj'?",
        "mlp.q_proj": "did you mean 'q_proj'?",
        "zzz": "known: down_proj, gate_proj, k_proj, lm_head, o_proj, q_proj, up_proj, v_proj",
    }
    for target, fix in rows.items():
        with pytest.raises(ModelError) as caught:
            attach_lora(tiny_models.model(), MethodSection(targets=("q_proj", target)), 0)
        assert str(caught.value) == message.format(target, fix)


def test_an_adapter_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    with pytest.raises(ModelError, match=r"there is no adapter in .*adapter\n  fix: name a folder with"):
        load_adapter(tiny_models.model(), folder)
    save_adapter(adapted(MethodSection(rank=4, targets=("q_proj", "down_proj"))), folder, "tiny")
    start = f"the adapter in {folder} does not fit this base model "
    for changes, reason in [
        ({"hidden_size": 32}, "(Error(s) in loading state_dict"),
        ({"num_hidden_layers": 3}, "(there is nothing for base_model.model.model.layers.2"),
        ({"num_hidden_layers": 1}, "(the base has no place for base_model.model.model.layers.1"),
    ]:
        with pytest.raises(ModelError) as caught:
            load_adapter(tiny_models.model(**changes), folder)
        assert str(caught.value).startswith(start + reason)
        assert str(caught.value).endswith("\n  fix: load it on the base it was trained on")


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_damaged_adapter_is_a_sentence(file: str, tmp_path: Path) -> None:
    save_adapter(adapted(MethodSection(rank=4)), tmp_path, "tiny")
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:100])
    with pytest.raises(ModelError, match="does not fit this base model"):
        load_adapter(tiny_models.model(), tmp_path)
