"""Ways of asking, and a contest over a tiny model: prompts as the template renders them, base and adapter apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tiny_models, tiny_versions
from tunesmith.data.example import Example, Message, Origin
from tunesmith.data.render import Renderer
from tunesmith.data.template import ChatTemplate
from tunesmith.errors import EvaluationError
from tunesmith.evaluate.contest import Contest
from tunesmith.evaluate.prompts import ZERO_SHOT, PromptVariant, variants
from tunesmith.models.load import load_tuned
from tunesmith.recipe.evaluate import DecodingSection, PromptsSection
from tunesmith.recipe.method import MethodSection
from tunesmith.recipe.model import ModelSection

TOKENIZER = tiny_models.tokenizer()
STOPS = frozenset({1})


def example(question: str, answer: str, system: str | None = None, line: int = 1, **answer_changes: Any) -> Example:
    messages = [Message(role="system", content=system)] if system else []
    messages += [Message(role="user", content=question), Message(role="assistant", content=answer, **answer_changes)]
    return Example(messages, Origin("rows.jsonl", line))


TRAIN = [example(f"q{number}", f"a{number}", "Old.", number) for number in range(1, 9)]
ROW = example("question", "answer", "Old.")


def renderer(train_on: tuple[str, ...] = ("assistant",), template: str = tiny_models.TEMPLATE) -> Renderer:
    tokenizer = tiny_models.tokenizer(template)
    return Renderer(tokenizer, ChatTemplate(tokenizer, "tiny", train_on), STOPS)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    start = tmp_path_factory.mktemp("contest")
    adapter = tiny_versions.adapter(start / "adapter", MethodSection(rank=4))
    section = ModelSection(source="tiny", dtype="float32")
    return load_tuned(tiny_models.save(start / "base"), section, adapter, torch.device("cpu"))


def test_the_variants_of_a_recipe() -> None:
    section = PromptsSection(few_shot=(1, 3, 1), instructions=("Be brief.", "Be kind."))
    found = variants(section, TRAIN)
    assert [variant.name for variant in found] == [
        "zero-shot", "1-shot", "3-shot", "instruction 1", "instruction 1, 1-shot", "instruction 2",
        "instruction 2, 1-shot",
    ]  # fmt: skip
    assert found[0] is ZERO_SHOT
    assert found[1].shots == found[2].shots[:1]
    assert variants(section, TRAIN) == found
    assert variants(section.model_copy(update={"seed": 1}), TRAIN)[2].shots != found[2].shots


BAD = [
    (PromptsSection(few_shot=(9,)), "evaluate.prompts.few_shot: 9 examples are to be shown, the training set has 8\n"
     "  fix: lower it"),
    (PromptsSection(few_shot=(3, -1)), "evaluate.prompts.few_shot: -1 examples cannot be shown\n"
     "  fix: give numbers from 1 on; evaluate.prompts.zero_shot shows none"),
    (PromptsSection(few_shot=(), zero_shot=False), "evaluate.prompts: there is no prompt to compare with\n"
     "  fix: set evaluate.prompts.zero_shot: true, or give few_shot or instructions"),
]  # fmt: skip


@pytest.mark.parametrize(("section", "message"), BAD)
def test_variants_that_cannot_be_had(section: PromptsSection, message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        variants(section, TRAIN)
    assert str(caught.value) == message


def test_a_prompt_is_what_the_template_asks_with_and_the_reference_is_the_answer_with_its_end() -> None:
    contest = Contest(None, renderer(), DecodingSection())  # type: ignore[arg-type]
    shots = tuple(TRAIN[:2])
    shown = "<|im_start|>user\nq1<|im_end|>\n<|im_start|>assistant\na1<|im_end|>\n"
    shown += "<|im_start|>user\nq2<|im_end|>\n<|im_start|>assistant\na2<|im_end|>\n"
    asked = "<|im_start|>user\nquestion<|im_end|>\n<|im_start|>assistant\n"
    for variant, text in [
        (ZERO_SHOT, f"<|im_start|>system\nOld.<|im_end|>\n{asked}"),
        (PromptVariant("shots", "", None, shots), f"<|im_start|>system\nOld.<|im_end|>\n{shown}{asked}"),
        (PromptVariant("both", "", "New.", shots), f"<|im_start|>system\nNew.<|im_end|>\n{shown}{asked}"),
    ]:
        prompt, reference = contest._ids(variant, ROW)
        assert TOKENIZER.decode(prompt) == text
        assert prompt == TOKENIZER(text, add_special_tokens=False).input_ids
        assert TOKENIZER.decode(reference) == "answer<|im_end|>"


@pytest.mark.parametrize("train_on", [("user",), ("user", "assistant"), ("assistant",)])
@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
def test_weights_and_roles_of_training_do_not_change_what_is_asked(train_on: tuple[str, ...], weight: float) -> None:
    contest = Contest(None, renderer(train_on), DecodingSection())  # type: ignore[arg-type]
    row = example("question", "answer", "Old.", weight=weight)
    shot = PromptVariant("shot", "", None, (example("q", "a", weight=0.0),))
    plain = Contest(None, renderer(), DecodingSection())  # type: ignore[arg-type]
    assert contest._ids(ZERO_SHOT, row) == plain._ids(ZERO_SHOT, ROW)
    assert "a<|im_end|>" in TOKENIZER.decode(contest._ids(shot, row)[0])


def test_tools_and_calls_are_shown() -> None:
    template = tiny_models.TEMPLATE.replace(
        "message['content'] +",
        "message['content'] + (message['tool_calls'][0]['id'] if message.get('tool_calls') else '') +",
    )
    template = "{% if tools %}{{ tools[0]['name'] }}{% endif %}" + template
    contest = Contest(None, renderer(template=template), DecodingSection())  # type: ignore[arg-type]
    row = example("question", "", tool_calls=[{"id": "call7"}])
    row = Example(row.messages, row.origin, tools=[{"name": "weather"}])
    prompt, reference = contest._ids(PromptVariant("shot", "", None, (row,)), row)
    assert TOKENIZER.decode(prompt).startswith("weather<|im_start|>user\nquestion")
    assert "assistant\ncall7<|im_end|>" in TOKENIZER.decode(prompt)
    assert TOKENIZER.decode(reference) == "call7<|im_end|>"
    assert contest.test_row(row).reference == "call7"  # what metrics compare with, where the content is empty


def test_base_and_adapter_answer_apart_and_progress_is_told(model: Any) -> None:
    told: list[tuple[str, int, int]] = []
    decoding = DecodingSection(max_new_tokens=6, batch_size=2)
    contest = Contest(model, renderer(), decoding, lambda *given: told.append(given))
    rows = [example(f"question {number}", "answer") for number in range(3)]
    base = contest.answer("base", "prompt", ZERO_SHOT, rows)
    tuned = contest.answer("tuned", "tuned", ZERO_SHOT, rows, likelihood=False)
    assert [answer.text for answer in base.answers] != [answer.text for answer in tuned.answers]
    assert all(answer.nll == 0 for answer in tuned.answers)
    assert told == [
        ("base", 2, 3), ("base", 3, 3),
        ("base: likelihood", 1, 3), ("base: likelihood", 2, 3), ("base: likelihood", 3, 3),
        ("tuned", 2, 3), ("tuned", 3, 3),
    ]  # fmt: skip
    # The likelihood is that of the base alone, with the full logits.
    plain = tiny_models.model()
    prompt, reference = contest._ids(ZERO_SHOT, rows[0])
    with torch.no_grad():
        chances = plain(input_ids=torch.tensor([prompt + reference])).logits[0].log_softmax(-1)
    nll = -sum(float(chances[len(prompt) + place - 1, token]) for place, token in enumerate(reference))
    assert base.answers[0].nll == pytest.approx(nll, rel=1e-4)
    assert (base.answers[0].num_tokens, base.answers[0].num_bytes) == (7, 6)


def test_a_prompt_that_leaves_no_room_is_refused(model: Any) -> None:
    contest = Contest(model, renderer(), DecodingSection(max_new_tokens=2000))
    with pytest.raises(EvaluationError) as caught:
        contest.answer("3-shot", "prompt", ZERO_SHOT, [example("x" * 100, "answer")])
    assert str(caught.value) == (
        "evaluate.prompts: prompt and answer of '3-shot' take up to 2119 tokens, the model has 2048\n"
        "  fix: show fewer examples, or lower evaluate.decoding.max_new_tokens"
    )


def test_a_row_that_cannot_be_rendered_is_named(model: Any, tmp_path: Path) -> None:
    contest = Contest(model, renderer(template="{{ raise_exception('no') }}"), DecodingSection())
    with pytest.raises(EvaluationError) as caught:
        contest.answer("base", "prompt", ZERO_SHOT, [example("question", "answer", line=7)])
    assert str(caught.value).startswith("rows.jsonl:7: the chat template of tiny refuses this conversation (no)")
