"""Which tokens are trained, in the styles of many chat templates, against renderings and transformers' own mask."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.data.chat_models import SPECIAL, TEMPLATES, chat, renderer
from tunesmith.data.example import BadRow, Example, Origin
from tunesmith.data.render import Rendered, Renderer
from tunesmith.errors import DataError

STYLES = [style for style in SPECIAL if style not in ("no-end", "reasoner")]
TRIMS = {"llama2", "llama3", "gemma"}
BLANK_FIRST = {"llama2", "mistral"}
"""Styles whose templates write a blank between prompt and answer."""


def rendered(made: Renderer, example: Example) -> Rendered:
    row = made([example])[0]
    assert isinstance(row, Rendered), row
    return row


def trained(made: Renderer, row: Rendered) -> list[str]:
    return [made.tokenizer.decode(row.ids[start:end], skip_special_tokens=False) for start, end, _ in row.spans]


def ids_of(made: Renderer, text: str) -> list[int]:
    return made.tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("kind", ["bytes", "blanks"])
@pytest.mark.parametrize("style", STYLES)
def test_trained_are_the_answers_and_the_end_of_turn(style: str, kind: str) -> None:
    made = renderer(style, kind)
    example = chat("where is my card?", "card_arrival", "And the fox?", "The quick brown fox\n\nis  here.")
    row = rendered(made, example)
    end = made.tokenizer.eos_token
    answers = [text.removesuffix(end) for text in trained(made, row)]
    assert all(text.endswith(end) and text.count(end) == 1 for text in trained(made, row))
    expected = ["card_arrival", "The quick brown fox\n\nis  here."]
    if style == "qwen3":
        expected[1] = f"<think>\n\n</think>\n\n{expected[1]}"
    assert [text.strip() for text in answers] == expected
    if style not in TRIMS | BLANK_FIRST:
        assert answers == expected
    assert [weight for *_, weight in row.spans] == [1.0, 1.0]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("answer", ["card_arrival", "\nsecond line", "  indented", "\n\n\n\n", "数据 🙂", "", "é́"])
def test_the_tokens_before_an_answer_are_those_of_the_prompt_at_inference(style: str, answer: str) -> None:
    made = renderer(style)
    example = chat("where?", answer or "x")
    row = rendered(made, example)
    prompt = ids_of(made, made.template.render(example.messages[:1], answer_next=True))
    assert row.ids[: row.spans[0][0]] == prompt
    assert made.tokenizer.decode(row.ids) == made.template.render(example.messages)


@pytest.mark.parametrize("style", STYLES)
def test_without_a_break_inside_a_token_the_whole_is_tokenised_as_ever(style: str) -> None:
    """Pieces are joined to what transformers makes of the whole text."""
    for kind in ("bytes", "blanks"):
        made = renderer(style, kind)
        example = chat("Where is it?", "The card_arrival", "und?", "Der Fluß fließt.")
        whole = made.tokenizer.apply_chat_template(example.messages, return_dict=True)["input_ids"]
        if style == "llama3":  # the blank lines before an answer are one token at inference, two in the whole text
            assert made.tokenizer.decode(rendered(made, example).ids) == made.tokenizer.decode(whole)
        else:
            assert rendered(made, example).ids == whole


def test_a_tokenizer_that_looks_ahead_still_gets_the_prompt_of_inference() -> None:
    """GPT-2's expression splits "\\n\\nx" into two tokens and a final "\\n\\n" into one."""
    made = renderer("llama3")
    row = rendered(made, chat("q", "answer"))
    prompt = ids_of(made, made.template.render([{"role": "user", "content": "q"}], answer_next=True))
    whole = ids_of(made, made.template.render(chat("q", "answer").messages))
    assert whole[: len(prompt)] != prompt, "this tokenizer does not show the case"
    assert row.ids[: len(prompt)] == prompt and row.spans[0][0] == len(prompt)


def test_a_token_across_the_edge_belongs_to_the_prompt() -> None:
    """Only where the whole text must be tokenised at once."""
    made = renderer("zephyr", "blanks")
    two_breaks = made.tokenizer.convert_tokens_to_ids("\n\n")
    assert two_breaks != made.tokenizer.unk_token_id
    row = rendered(made, chat("q", "\nanswer"))
    start = row.spans[0][0]
    assert row.ids[start - 1] == two_breaks
    assert made.tokenizer.decode(row.ids[start:]).startswith("answer</s>")


@pytest.mark.parametrize("style", ["chatml", "llama3", "zephyr"])
def test_the_mask_is_that_of_transformers(style: str) -> None:
    """`{% generation %}` marks in the template itself what transformers returns as the assistant's tokens."""
    made = renderer(style)
    marked = {
        "chatml": (
            "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ '<|im_start|>assistant\n' }}{% generation %}"
            "{{ m['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}"
            "{% else %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
        ),
        "llama3": (
            "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' }}"
            "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] | trim + '<|eot_id|>' }}"
            "{% endgeneration %}{% else %}{{ m['content'] | trim + '<|eot_id|>' }}{% endif %}{% endfor %}"
        ),
        "zephyr": (
            "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' }}{% if m['role'] == 'assistant' %}"
            "{% generation %}{{ m['content'] + eos_token }}{% endgeneration %}"
            "{% else %}{{ m['content'] + eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
        ),
    }[style]
    example = chat("Where is it?", "The card", "und jetzt?", "Der Fluß fließt. 数据", system="Be brief.")
    row = rendered(made, example)
    reference = made.tokenizer.apply_chat_template(
        example.messages, chat_template=marked, return_dict=True, return_assistant_tokens_mask=True
    )
    learnt = [token for start, end, _ in row.spans for token in row.ids[start:end]]
    pairs = zip(reference["input_ids"], reference["assistant_masks"], strict=True)
    assert learnt == [token for token, is_trained in pairs if is_trained]
    if style != "llama3":
        mask = [0] * len(row.ids)
        for start, end, _ in row.spans:
            mask[start:end] = [1] * (end - start)
        assert (row.ids, mask) == (reference["input_ids"], reference["assistant_masks"])


def test_weights_scale_turns_and_nought_leaves_them_out() -> None:
    made = renderer("chatml")
    example = chat("a", "first", "b", "second", "c", "third")
    example.messages[1]["weight"] = 0
    example.messages[3]["weight"] = 0.25
    row = rendered(made, example)
    assert trained(made, row) == ["second<|im_end|>", "third<|im_end|>"]
    assert [weight for *_, weight in row.spans] == [0.25, 1.0]


def test_the_template_does_not_see_weights() -> None:
    template = "{% for m in messages %}{{ m | tojson }}{{ eos_token }}{% endfor %}"
    made = renderer("chatml", chat_template=template)
    example = chat("a", "first", "b", "second")
    example.messages[1]["weight"] = 0.0
    assert "weight" not in made.template.render(example.messages)


@pytest.mark.parametrize("style", ["chatml", "llama2", "llama3", "zephyr"])
def test_other_roles_are_trained_on_their_content(style: str) -> None:
    made = renderer(style, train_on=("system", "user", "assistant"))
    row = rendered(made, chat("Where is it?", "Here.", "And now?", "There.", system="Be brief."))
    end = made.tokenizer.eos_token
    texts = [text.strip().removesuffix(end).strip() for text in trained(made, row)]
    assert texts == ["Be brief.", "Where is it?", "Here.", "And now?", "There."]


def test_two_answers_in_a_row_are_two_turns() -> None:
    made = renderer("chatml")
    messages: Any = [{"role": "user", "content": "q"}, *({"role": "assistant", "content": text} for text in "ab")]
    assert trained(made, rendered(made, Example(messages, Origin("f", 1)))) == ["a<|im_end|>", "b<|im_end|>"]


def test_an_answer_that_also_stands_in_the_question_is_found_at_its_place() -> None:
    for style in STYLES:
        made = renderer(style)
        row = rendered(made, chat("card card assistant\ncard", "card", "card", "card"))
        assert [text.replace("<think>\n\n</think>", "").strip() for text in trained(made, row)] == [
            f"card{' ' if style == 'llama2' else ''}{made.tokenizer.eos_token}"
        ] * 2


def tool_calls() -> Example:
    call = {"type": "function", "function": {"name": "find", "arguments": {"what": "card"}}}
    messages: Any = [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": '{"at": "home"}', "tool_call_id": "1"},
        {"role": "assistant", "content": "At home."},
    ]
    return Example(messages, Origin("rows.jsonl", 1), tools=[{"type": "function", "function": {"name": "find"}}])


def test_tool_calls_are_trained_and_tool_results_are_not() -> None:
    made = renderer("qwen3")
    first, second = trained(made, rendered(made, tool_calls()))
    assert first == '\n<tool_call>\n{"name": "find", "arguments": {"what": "card"}}\n</tool_call><|im_end|>'
    assert second == "<think>\n\n</think>\n\nAt home.<|im_end|>"


def test_earlier_thoughts_that_the_template_drops_are_refused_by_name() -> None:
    made = renderer("qwen3")
    bad = made([chat("a", "<think>\nhm\n</think>\n\nfirst", "b", "second")])[0]
    assert isinstance(bad, BadRow)
    assert bad.what == (
        "the chat template of a qwen3 model shows this answer differently than the model would have given it"
    )
    last = chat("a", "first", "b", "<think>\nhm\n</think>\n\nsecond")
    assert trained(made, rendered(made, last)) == ["first<|im_end|>", "<think>\nhm\n</think>\n\nsecond<|im_end|>"]


def test_a_template_that_ends_no_turn_is_refused_by_name() -> None:
    with pytest.raises(DataError) as refused:
        renderer("no-end").check()
    assert refused.value.what == (
        "the chat template of a no-end model ends the answer with no end-of-turn token, so the model would never "
        "learn to stop"
    )


def test_a_template_that_asks_for_an_answer_differently_than_it_shows_one_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="chat template of a reasoner model shows this answer differently"):
        renderer("reasoner").check()


@pytest.mark.parametrize("style", STYLES)
def test_the_other_styles_pass_the_check(style: str) -> None:
    renderer(style).check()
    renderer(style, "blanks").check()


def test_a_model_that_is_not_trained_to_answer_needs_no_end_of_turn() -> None:
    renderer("no-end", train_on=("user",)).check()


@pytest.mark.parametrize(
    ("style", "example", "what"),
    [
        ("mistral", chat("a", "b", system="s"), "conversation roles must alternate"),
        ("gemma", chat("a", "b", system="s"), "System role not supported"),
        ("qwen3", Example([{"role": "assistant", "content": "hi"}], Origin("f", 1)), "No user query found"),
        ("chatml", Example([{"role": "user", "content": "hi"}], Origin("f", 1)), "no token of this conversation"),
    ],
)
def test_a_conversation_that_cannot_be_trained_on_is_named(style: str, example: Example, what: str) -> None:
    good = chat("a", "b")
    rows = renderer(style)([good, example, good])
    assert isinstance(rows[1], BadRow) and what in rows[1].what and rows[1].origin == example.origin
    assert rows[0] == rows[2] and isinstance(rows[0], Rendered)


def test_a_refused_row_among_others_shifts_nothing() -> None:
    """The answer of the second row does not end; its pieces are not given to the third."""
    template = (
        "{% for m in messages %}{{ m['content'] }}{% if m['content'] != 'endless' %}{{ eos_token }}{% endif %}"
        "{% endfor %}"
    )
    made = renderer("chatml", chat_template=template)
    rows = made([chat("q", "one"), chat("q", "endless"), chat("q", "three")])
    assert isinstance(rows[1], BadRow) and "no end-of-turn token" in rows[1].what
    assert trained(made, rows[0]) == ["one<|im_end|>"] and trained(made, rows[2]) == ["three<|im_end|>"]


def test_an_answer_that_holds_an_end_of_turn_is_learnt_to_its_own_end() -> None:
    made = renderer("chatml")
    row = rendered(made, chat("q", "a<|im_end|>b"))
    assert trained(made, row) == ["a<|im_end|>b<|im_end|>"]


def test_truncation_and_padding_of_the_tokenizer_file_are_not_used() -> None:
    plain = renderer("chatml")
    example = chat("a long question " * 30, "answer")
    tokenizer = plain.tokenizer
    tokenizer._tokenizer.enable_truncation(8)
    tokenizer._tokenizer.enable_padding(length=512)
    changed = Renderer(tokenizer, plain.template, plain.stop_ids)
    assert sum(tokenizer._tokenizer.encode("a long question " * 30).attention_mask) == 8
    assert changed([example]) == plain([example])
    assert changed.fingerprint() == plain.fingerprint()


@pytest.mark.parametrize("kind", ["bytes", "blanks"])
def test_the_end_of_an_answer_is_its_own_and_not_the_start_of_the_next_turn(kind: str) -> None:
    """Where one token both ends turns and begins them, and no part of the conversation is rendered as in the whole."""
    between = "{% if message['role'] == 'user' %}{{ eos_token }}{% endif %}"
    source = TEMPLATES["chatml"].replace("{{ '<|im_start|>' + message", between + "{{ '<|im_start|>' + message")
    made = renderer("chatml", kind, chat_template="{{ messages | length }} turns\n" + source)
    row = rendered(made, chat("a", "first", "b", "second"))
    assert made.tokenizer.decode(row.ids).count("<|im_end|>") == 6
    assert [text.replace(" ", "") for text in trained(made, row)] == ["first<|im_end|>", "second<|im_end|>"]


def test_the_blank_before_an_answer_is_learnt_also_when_the_template_wants_all_at_once() -> None:
    refuse = "{% if messages[-1]['role'] != 'assistant' %}{{ raise_exception('no') }}{% endif %}"
    for kind in ("bytes", "blanks"):
        plain = renderer("llama2", kind)
        picky = renderer("llama2", kind, chat_template=refuse + TEMPLATES["llama2"])
        example = chat("a", "first", "b", "second")
        assert picky([example]) == plain([example])


def test_the_fingerprint_changes_with_all_that_decides_tokens() -> None:
    prints = [renderer(style).fingerprint() for style in SPECIAL]
    prints += [renderer("chatml", bos_token="<|im_end|>").fingerprint(), renderer("chatml", "blanks").fingerprint()]
    assert len(set(prints)) == len(prints)
    assert prints[0] == renderer("chatml").fingerprint()


def test_a_renderer_travels_to_another_process() -> None:
    made = renderer("qwen3")
    made.check()
    assert pickle.loads(pickle.dumps(made))([tool_calls()]) == made([tool_calls()])  # noqa: S301 - our own bytes


words = st.text(max_size=30)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(STYLES), st.lists(st.tuples(words, words), min_size=1, max_size=3), st.sampled_from(["bytes"]))
def test_whatever_the_text_the_ids_say_it_and_spans_hold_the_answers(
    style: str, turns: list[tuple[str, str]], kind: str
) -> None:
    made = renderer(style, kind)
    example = chat(*(text for pair in turns for text in pair))
    row = made([example])[0]
    if isinstance(row, BadRow):
        assert "shows this answer differently" in row.what and style in ("qwen3", "all-at-once")
        return
    assert made.tokenizer.decode(row.ids) == made.template.render(example.messages)
    assert len(row.spans) == len(turns)
    end = made.tokenizer.eos_token
    for (_, answer), text in zip(turns, trained(made, row), strict=True):
        assert text.endswith(end)
        assert answer.strip() == text.removesuffix(end).removeprefix("<think>\n\n</think>\n\n").strip()
    flat = [edge for start, stop, _ in row.spans for edge in (start, stop)]
    assert flat == sorted(flat)
