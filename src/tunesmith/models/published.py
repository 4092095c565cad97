"""Shapes of well-known base models, for machines that reach no hub: what their config.json says. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Published:
    """What decides the tensors of a base model, and how many parameters its page on the hub says that they have.

    `widths` are hidden and intermediate width, layers, query heads, heads of keys and values, and vocabulary.
    """

    parameters: int
    widths: tuple[int, int, int, int, int, int]
    family: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """The keys of config.json."""
        names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
        return {**self.family, **dict(zip((*names, "vocab_size"), self.widths, strict=True))}


LLAMA_3_1 = {
    "model_type": "llama",
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}
QWEN_2_5 = {"model_type": "qwen2", "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0}
MISTRAL = {"model_type": "mistral", "max_position_embeddings": 32768, "rope_theta": 1000000.0, "sliding_window": None}

LLAMA_8B = Published(8_030_261_248, (4096, 14336, 32, 32, 8, 128256), LLAMA_3_1)
LLAMA_70B = Published(70_553_706_496, (8192, 28672, 80, 64, 8, 128256), LLAMA_3_1)
QWEN_HALF_B = Published(494_032_768, (896, 4864, 24, 14, 2, 151936), {**QWEN_2_5, "tie_word_embeddings": True})
QWEN_7B = Published(7_615_616_512, (3584, 18944, 28, 28, 4, 152064), QWEN_2_5)
QWEN_72B = Published(72_706_203_648, (8192, 29568, 80, 64, 8, 152064), QWEN_2_5)

SMOLLM_2 = {
    "model_type": "llama", "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 100000.0,
    "tie_word_embeddings": True,
}  # fmt: skip
TIED_LLAMA = {**LLAMA_3_1, "tie_word_embeddings": True}
TIED_QWEN = {**QWEN_2_5, "tie_word_embeddings": True}
QWEN_3 = {
    "model_type": "qwen3", "max_position_embeddings": 40960, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
    "head_dim": 128,
}  # fmt: skip
SMOLLM_135M = Published(134_515_008, (576, 1536, 30, 9, 3, 49152), SMOLLM_2)

PUBLISHED = {
    "HuggingFaceTB/SmolLM2-135M": SMOLLM_135M,
    "HuggingFaceTB/SmolLM2-135M-Instruct": SMOLLM_135M,
    "HuggingFaceTB/SmolLM2-360M-Instruct": Published(361_821_120, (960, 2560, 32, 15, 5, 49152), SMOLLM_2),
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": Published(1_711_376_384, (2048, 8192, 24, 32, 32, 49152), SMOLLM_2),
    "meta-llama/Llama-3.2-1B-Instruct": Published(1_235_814_400, (2048, 8192, 16, 32, 8, 128256), TIED_LLAMA),
    "meta-llama/Llama-3.2-3B-Instruct": Published(3_212_749_824, (3072, 8192, 28, 24, 8, 128256), TIED_LLAMA),
    "meta-llama/Llama-3.1-8B": LLAMA_8B,
    "meta-llama/Llama-3.1-8B-Instruct": LLAMA_8B,
    "meta-llama/Llama-3.1-70B": LLAMA_70B,
    "meta-llama/Llama-3.1-70B-Instruct": LLAMA_70B,
    "meta-llama/Llama-3.3-70B-Instruct": LLAMA_70B,
    "Qwen/Qwen2.5-0.5B-Instruct": QWEN_HALF_B,
    "Qwen/Qwen2.5-1.5B-Instruct": Published(1_543_714_304, (1536, 8960, 28, 12, 2, 151936), TIED_QWEN),
    "Qwen/Qwen2.5-3B-Instruct": Published(3_085_938_688, (2048, 11008, 36, 16, 2, 151936), TIED_QWEN),
    "Qwen/Qwen2.5-14B-Instruct": Published(14_770_033_664, (5120, 13824, 48, 40, 8, 152064), QWEN_2_5),
    "Qwen/Qwen2.5-32B-Instruct": Published(32_763_876_352, (5120, 27648, 64, 40, 8, 152064), QWEN_2_5),
    "Qwen/Qwen3-8B": Published(8_190_735_360, (4096, 12288, 36, 32, 8, 151936), QWEN_3),
    "Qwen/Qwen2.5-7B": QWEN_7B,
    "Qwen/Qwen2.5-7B-Instruct": QWEN_7B,
    "Qwen/Qwen2.5-72B-Instruct": QWEN_72B,
    "mistralai/Mistral-7B-Instruct-v0.3": Published(7_248_023_552, (4096, 14336, 32, 32, 8, 32768), MISTRAL),
}
"""Hub id -> shapes. Sources: config.json and the count of parameters of https://huggingface.co/ID; for Llama 3.1 also
Llama Team 2024, "The Llama 3 Herd of Models", arXiv:2407.21783, table 3."""
