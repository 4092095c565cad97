"""Small tokenizers and chat templates in the styles that models come with, made in memory."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from tunesmith.data.example import Example, Origin
from tunesmith.data.render import Renderer
from tunesmith.data.template import ChatTemplate

SPECIAL = {
    "chatml": ("<|im_start|>", "<|im_end|>"),
    "llama2": ("<s>", "</s>"),
    "llama3": ("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"),
    "gemma": ("<bos>", "<end_of_turn>", "<start_of_turn>"),
    "qwen3": ("<|im_start|>", "<|im_end|>"),
    "mistral": ("<s>", "</s>"),
    "zephyr": ("<s>", "</s>"),
    "no-end": ("<s>", "</s>"),
    "reasoner": ("<|im_start|>", "<|im_end|>"),
    "all-at-once": ("<|im_start|>", "<|im_end|>"),
}
"""Style -> its special tokens: the first begins a text, the second ends a turn."""

TEMPLATES = {style: (Path(__file__).parent / "chat_templates" / f"{style}.jinja").read_text() for style in SPECIAL}

CORPUS = [
    "The quick brown fox answers the question. Where is my card? Der Fluß fließt. 数据 данные",
    "user assistant system tool model [INST] [/INST] <<SYS>> question answer instruction\n\n\n\n  card_arrival",
]


@lru_cache
def tokenizer(style: str, kind: str = "bytes") -> Any:
    """A tokenizer with the template of a style.

    `kind` is `bytes` (byte-level BPE, as GPT-2, Llama 3 and Qwen) or `blanks` (puts a blank in front, as Llama 2).
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = SPECIAL[style]
    if kind == "bytes":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        made.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        alphabet = [*"▁\n", *(chr(code) for code in range(33, 127))]
        special = (*special, "<unk>", *(f"<0x{byte:02X}>" for byte in range(256)))
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False, min_frequency=1
    )
    made.train_from_iterator(CORPUS * 4, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=made, bos_token=special[0], eos_token=special[1])
    fast.chat_template = TEMPLATES[style]
    return fast


def renderer(style: str, kind: str = "bytes", train_on: tuple[str, ...] = ("assistant",), **changes: Any) -> Renderer:
    """The renderer of a style; `chat_template=` puts another template in its place."""
    from copy import deepcopy

    made = deepcopy(tokenizer(style, kind))
    for name, value in changes.items():
        setattr(made, name, value)
    return Renderer(made, ChatTemplate(made, f"a {style} model", train_on), frozenset({made.eos_token_id}))


def chat(*turns: str, system: str | None = None, line: int = 1, **changes: Any) -> Example:
    """A conversation of user and assistant in turn."""
    messages = [{"role": "system", "content": system}] if system is not None else []
    messages += [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)]
    return Example(messages, Origin("rows.jsonl", line), **changes)  # type: ignore[arg-type]
