"""Small models with random weights and a small tokenizer, as folders that any code loads like a real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' "
    "+ '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}


def tokenizer(template: str | None = TEMPLATE) -> Any:
    """Bytes as tokens, and the markers of ChatML."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    specials = ["<|im_start|>", "<|im_end|>"]
    vocabulary = {
        token: number for number, token in enumerate([*specials, *sorted(pre_tokenizers.ByteLevel.alphabet())])
    }
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(specials)
    fast = PreTrainedTokenizerFast(tokenizer_object=made, bos_token=specials[0], eos_token=specials[1])
    fast.chat_template = template
    return fast


def model(kind: str = "llama", seed: int = 0, **changes: Any) -> Any:
    """A causal language model of a `transformers` architecture in float32, in evaluation mode.

    Weights are larger than a trained model's, so that differences show in the logits.
    """
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    values = {**SHAPE, "vocab_size": 258, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None, **changes}
    config = CONFIG_MAPPING[kind](**values)
    torch.manual_seed(seed)
    made = AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.15 if "embed" not in name else 0.5)
    return made


def save(folder: Path, kind: str = "llama", seed: int = 0, template: str | None = TEMPLATE, **changes: Any) -> Path:
    """Write a model and the tokenizer into a folder, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    model(kind, seed, **changes).save_pretrained(folder)
    tokenizer(template).save_pretrained(folder)
    return folder
